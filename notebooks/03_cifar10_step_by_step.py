# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · CIFAR-10 step by step
#
# Color photographs this time, and every step by itself: look at the data, scale them, split them, build a network,
# train it, load the best weights again, predict, and plot. On one processor core this takes about two minutes.

# %%
# %matplotlib inline
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from PIL import Image

from convline import figures
from convline.config import load_config
from convline.figures.image_grid import as_tiles, make_grid
from convline.network.summary import summarize
from convline.run.start import start
from convline.training.loaded_run import LoadedRun
from convline.training.setup import build

if Path.cwd().name == "notebooks":
    os.chdir("..")
SHORT = os.environ.get("CONVLINE_SHORT") == "1"
DATA = ["data=digits", "data.val_size=100"] if SHORT else ["data=cifar10", "data.val_size=5000"]

# %% [markdown]
# ## Step 1: look at the data
#
# 50,000 training images of 32×32 pixels with three channels (red, green, blue), in ten classes.

# %%
config = load_config(
    [
        *DATA,
        "data.val=first",
        "data.batch_size=32",
        "model=keras_cifar10",
        "optimizer=rmsprop",
        "optimizer.lr=0.001",
        "scheduler=constant",
        f"trainer.max_epochs={2 if SHORT else 5}",
        "callbacks=plain",
        "logger=csv",
        "callbacks.checkpoint.monitor=val/loss",
        "callbacks.progress=null",
    ]
)
data, classifier = build(config)
images, labels = data.train_images, data.train_labels
print(f"{tuple(images.shape)} {images.dtype}, values from {images.min()} to {images.max()}")

# %%
Image.fromarray(make_grid(as_tiles(images[:36].numpy()), columns=12, side=64))

# %%
print(*(data.classes[label] for label in labels[:36].tolist()), sep=", ")

# %% [markdown]
# All classes are equally frequent, so who guesses is right in one of ten cases.

# %%
pd.Series(labels).map(dict(enumerate(data.classes))).value_counts().sort_index().to_frame("images").T

# %% [markdown]
# ## Step 2: scale
#
# Pixels are bytes, 0 to 255. Networks learn best from numbers around zero. So each channel is divided by 255; then
# its mean is subtracted and it is divided by its standard deviation. Both are computed from the training images
# *alone*: the others are supposed to be unknown.

# %%
print("mean              ", *(f"{value:.3f}" for value in data.mean.tolist()))
print("standard deviation", *(f"{value:.3f}" for value in data.std.tolist()))

# %%
used = images[data.train_indices] / 255
shape = (1, -1, 1, 1)
scaled = (used - data.mean.view(shape)) / data.std.view(shape)
print(f"after scaling: mean {scaled.mean():.3f}, standard deviation {scaled.std():.3f}")

# %% [markdown]
# Convline does that on the fly, batch by batch, and keeps the images as bytes.
#
# ## Step 3: split
#
# Some of the training images are put aside for validation. With `data.val=first` they are the first ones of the file,
# as in many tutorials; by default they are drawn at random, with equal shares of all classes.

# %%
print(f"{len(data.train_indices):,} to learn from, {len(data.val_indices):,} to validate with")

# %% [markdown]
# ## Step 4: build
#
# Three blocks of convolution and pooling, with 16, 32 and 64 filters. The maps get smaller and there are more of
# them. `DROPOUT` sets a random part of the numbers to zero while the network learns, so that it cannot rely on single
# ones.

# %%
print(config.model.pattern)
table = summarize(classifier.network, data.input_shape)
layers = pd.DataFrame(table.to_dict()["layers"])
layers["output"] = ["×".join(map(str, shape)) for shape in layers["output_shape"]]
layers.loc[layers["parameters"] > 0, ["name", "kind", "output", "parameters", "macs"]]

# %%
print(
    f"{table.parameters:,} parameters, {layers['parameters'].max() / table.parameters:.0%} of them in one dense layer"
)

# %% [markdown]
# ## Step 5: train
#
# `start` does what `python train.py` does. After each epoch the loss on the validation images is measured, and the
# weights with the lowest one so far are kept: `callbacks.checkpoint.monitor=val/loss`. We catch what it prints, since
# the table below says the same.

# %%
# %%capture
start(config, Path("runs/notebooks/03"), "step_by_step", {"model": "keras_cifar10", "data": DATA[0].split("=")[1]})

# %%
run_dir = max(Path("runs/notebooks/03").glob("step_by_step*"), key=lambda path: path.stat().st_mtime)
metrics = pd.read_csv(run_dir / "metrics.csv")
metrics[["epoch", "train/loss", "train/acc", "val/loss", "val/acc"]].round(3)

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
for axis, name in zip(axes, ("loss", "acc"), strict=True):
    for part in ("train", "val"):
        axis.plot(
            metrics["epoch"], metrics[f"{part}/{name}"], "o-", label={"train": "training", "val": "validation"}[part]
        )
    axis.set(xlabel="epoch", title={"loss": "loss", "acc": "accuracy"}[name], xticks=metrics["epoch"])
    axis.grid(alpha=0.3)
axes[0].legend()
plt.show()

# %% [markdown]
# While both losses fall, the network learns what holds for new images too. When only the training loss still falls,
# it begins to learn the training images by heart (*overfitting*). (Dropout is switched off in validation, which is
# why validation may look better than training.)
#
# ## Step 6: reload the best
#
# A `LoadedRun` reads a run directory back: its config, its data, and the network with the weights of the best epoch.

# %%
run = LoadedRun(run_dir)
checkpoint = torch.load(run_dir / "checkpoints" / "best.ckpt", weights_only=True)
print("best epoch:", checkpoint["epoch"] + 1, "of", config.trainer.max_epochs)

# %% [markdown]
# ## Step 7: predict
#
# The network gives ten numbers for each image, the *logits*. Softmax makes probabilities of them.

# %%
example = run.samples("val", 1)
with torch.no_grad():
    probabilities = run.network(example.images).softmax(dim=1)[0]
Image.fromarray(make_grid(as_tiles(example.pictures.numpy()), columns=1, side=96))

# %%
pd.Series(probabilities, index=list(run.classes)).sort_values(ascending=False).head(4).round(3).to_frame("probability")

# %% [markdown]
# And the test set, which has been kept away from every decision so far. Its predictions were made once, at the end of
# the run:

# %%
said = run.predictions("test")
print(f"test accuracy {said.accuracy:.2%}, test loss {said.loss:.3f}")

# %% [markdown]
# ## Step 8: plot
#
# The first 32 test images: the predicted class, its probability, and the true class in brackets; blue is correct, red
# is incorrect.

# %%
figures.predictions(run, split="test", rows=4, columns=8)

# %%
figures.confusion_matrix(run, split="test")

# %% [markdown]
# Which classes are taken for each other? Would you have expected them?
#
# **Exercises**
#
# 1. Add `"data/augment=cifar"` to the settings in step 1: images are then mirrored and moved at random in training.
#    Which of the two losses gets worse, which gets better? (Train for more epochs.)
# 2. Train `model=resnet20` with `optimizer=sgd` and compare the number of parameters.
# 3. `convline evaluate` followed by the run directory computes the test figures again. Why does Convline count how
#    often the test set was looked at?
#
# Next: [the architectures as text](04_architectures_as_text.ipynb).
