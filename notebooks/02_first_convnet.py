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
# # 2 · A first ConvNet on MNIST
#
# We train LeNet, the network that read the digits on cheques in the 1990s, and then look inside: at its filters, at
# what each layer makes of a digit, and at its mistakes. On one processor core this takes about half a minute.

# %%
# %matplotlib inline
import os
from pathlib import Path

import pandas as pd
from IPython.display import SVG
from PIL import Image

from convline import figures
from convline.config import load_config
from convline.figures.image_grid import as_tiles, make_grid
from convline.network.diagram import draw
from convline.network.summary import summarize
from convline.training.setup import build

os.environ.pop("FORCE_COLOR", None)  # Jupyter sets it; commands print plain text without it
if Path.cwd().name == "notebooks":
    os.chdir("..")
SHORT = os.environ.get("CONVLINE_SHORT") == "1"
os.environ["SETTINGS"] = (
    "data=digits trainer.max_epochs=2 callbacks=plain logger=csv" if SHORT else "data=mnist trainer.max_epochs=3"
)

# %% [markdown]
# ## The data
#
# A **config** says everything about a run: data, network, optimizer, and so on. `load_config` takes the same words as
# the command `python train.py`, and `build` makes the objects.

# %%
config = load_config(["model=lenet", *os.environ["SETTINGS"].split()])
data, classifier = build(config)
print(f"{len(data.train_indices):,} training and {len(data.val_indices):,} validation images,", *data.stored_shape)

# %%
first = data.train_indices[:40]
Image.fromarray(make_grid(as_tiles(data.train_images[first].numpy()), columns=10, side=42))

# %%
print(*(data.classes[label] for label in data.train_labels[first].tolist()))

# %% [markdown]
# The network learns from the **training** images. The **validation** images say after each epoch (one pass over the
# training images) how good it is on images that it has not learned from. There is also a **test** set: it is looked
# at once, at the end.
#
# ## The network
#
# In Convline a network is a line of text:

# %%
print(config.model.pattern)

# %% [markdown]
# Read it from left to right. `CONV(6, 5, pad=2)`: six filters of 5×5 pixels slide over the image and give six maps.
# `RELU` sets what is negative to zero. `POOL` keeps the largest of each 2×2 numbers, so that the maps get half as
# high and wide. After the second convolution the maps are written as one row of numbers, and the `FC` layers (fully
# connected, or dense) turn them into ten numbers, one for each class: the largest is the answer. (`enlarge` is only
# for images smaller than 28×28.)

# %%
table = summarize(classifier.network, data.input_shape)
SVG(draw(classifier.network, table, "LeNet"))

# %%
layers = pd.DataFrame(table.to_dict()["layers"])
layers["output"] = ["×".join(map(str, shape)) for shape in layers["output_shape"]]
layers[["name", "output", "parameters", "macs", "receptive_field"]].astype({"receptive_field": "Int64"})

# %% [markdown]
# *parameters* are the numbers that are learned, *macs* the multiplications for one image, and *receptive_field* is
# the side, in pixels of the image, of the window that one number of the output can see. Check one line by hand:
# `conv2` has 16 filters with 6·5·5 weights and one bias each, which makes 16·151 = 2,416.
#
# A dense layer takes in all positions of the maps at once and so sees the whole image. The table gives 32 pixels there
# (and at `flatten1`), although the image has 28, because the windows at its border reach two pixels over the edge on
# each side, into the zeros of `pad=2`.
#
# ## Training
#
# In a terminal you would type this command; here its settings come from the first cell.

# %% language="bash"
# python train.py model=lenet $SETTINGS runs_dir=runs/notebooks/02

# %% [markdown]
# Everything about the run now lies in a folder of its own, and needs nothing of Convline to be read (besides these
# there are files for TensorBoard):

# %%
run = sorted(Path("runs/notebooks/02").glob("*_lenet_*"))[-1]
print(*sorted(path.name for path in run.iterdir() if not path.name.startswith((".", "events"))), sep="\n")

# %%
metrics = pd.read_csv(run / "metrics.csv")
metrics[["epoch", "train/loss", "train/acc", "val/loss", "val/acc"]].round(4)

# %% [markdown]
# `acc` is the accuracy, the share of images whose class is predicted correctly. `loss` is the number that training
# makes smaller: minus the logarithm of the probability that the network gave to the correct class. (In training it is
# measured while the network still learns, so it may be worse than in validation, which comes after the epoch.)
#
# ## Look inside: filters
#
# The first layer's filters before training (random), after it, and the difference. Some have become detectors of
# edges, as in [notebook 1](01_convolution_by_hand.ipynb); nobody told them to.

# %%
figures.filters(run)

# %% [markdown]
# ## Look inside: feature maps
#
# What every layer makes of two digits. At first you still recognise the digit: each map is the image as one filter
# sees it. Later the maps get smaller and say less and less *where*, but more *what*.

# %%
figures.feature_maps(run, num_images=2)

# %% [markdown]
# ## How good is it?

# %%
figures.confusion_matrix(run)

# %%
figures.top_losses(run, rows=2)

# %% [markdown]
# Under each image: what the network said (what it is), and the probability that it gave its answer. Which of them
# would you have got right?
#
# ## How much do we see of the truth?
#
# One run is one draw of the lottery: other random initial weights give another accuracy. So experiments are repeated
# with several *seeds*, and results have error bars: [notebook 5](05_hyperparameters.ipynb).
#
# **Exercises.** In a terminal:
#
# 1. `python train.py model=dense data=mnist`: a network without convolutions. How many parameters has it? How good is
#    it?
# 2. `python train.py model=lenet data=mnist optimizer.lr=10`: what does a learning rate that is much too large do?
# 3. `convline dashboard runs`: all curves and pictures of your runs in the browser.
#
# Next: [CIFAR-10 step by step](03_cifar10_step_by_step.ipynb).
