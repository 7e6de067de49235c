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
# # 6 · Dense, local, convolutional
#
# Why convolutions at all? A dense layer can compute everything that a convolution can, and more: see the matrix in
# [notebook 1](01_convolution_by_hand.ipynb). Here three networks with maps of the same sizes learn the same task:
#
# - **dense**: every output sees every pixel, with weights of its own;
# - **local**: every output sees a 5×5 window only, still with weights of its own;
# - **convolutional**: the same windows, and all outputs of a map share their weights.
#
# On one processor core this takes about two minutes.

# %%
# %matplotlib inline
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from convline.figures.translation import draw, shift_curve
from convline.network.build import build_network
from convline.network.summary import summarize
from convline.reporting.configurations import tables
from convline.reporting.run_records import find_runs
from convline.training.loaded_run import LoadedRun

os.environ.pop("FORCE_COLOR", None)  # Jupyter sets it; commands print plain text without it
if Path.cwd().name == "notebooks":
    os.chdir("..")
SHORT = os.environ.get("CONVLINE_SHORT") == "1"

# %% [markdown]
# ## How many weights?

# %%
PATTERNS = {
    "dense": "FC(1152) -> RELU -> FC(256) -> RELU -> FC",
    "local": "LOCAL(8, 5, 2, valid) -> RELU -> LOCAL(16, 5, 2, valid) -> RELU -> FC",
    "convolutional": "CONV(8, 5, 2, valid) -> RELU -> CONV(16, 5, 2, valid) -> RELU -> FC",
}
rows = {}
for kind, pattern in PATTERNS.items():
    layers = [
        layer for layer in summarize(build_network(pattern, (1, 28, 28), 10), (1, 28, 28)).layers if layer.parameters
    ]
    rows[kind] = {f"layer {number}": f"{layer.parameters:,}" for number, layer in enumerate(layers, 1)}
    rows[kind]["sum"] = f"{sum(layer.parameters for layer in layers):,}"
pd.DataFrame(rows).T

# %% [markdown]
# The first layer makes 8 maps of 12×12 numbers, 1,152 in all, in each of the three networks; the second 16 maps of
# 4×4, which are 256. Dense: 784 pixels · 1,152 outputs. Local: 25 weights for each output, and biases. Convolutional:
# 25 weights for each of 8 filters, and 8 biases.
#
# It gets worse with larger images. A gray image of 1,000×1,000 pixels, and a layer of 1,000 units:

# %%
print(f"dense: {1000 * 1000 * 1000:,} weights; 1,000 filters of 5×5: {1000 * 5 * 5:,}")

# %% [markdown]
# ## The experiment
#
# Sharing weights is a bet: that what is worth seeing in one corner is worth seeing in the others. If the bet is
# right, the network has less to learn, and should need fewer examples. So we vary the size of the training set, with
# three seeds each.

# %%
os.environ.update(PATTERNS)
os.environ["DATA"] = "data=digits data.image_size=28" if SHORT else "data=mnist"
os.environ["SHARES"] = "0.5" if SHORT else "0.01,0.03,0.1"
os.environ["SEEDS"] = "0,1" if SHORT else "0,1,2"
os.environ["EPOCHS"] = "1" if SHORT else "5"

# %% language="bash"
# python train.py -m $DATA data.batch_size=32 trainer.max_epochs=$EPOCHS callbacks=plain logger=csv \
#     "model.pattern='$dense','$local','$convolutional'" data.train_fraction=$SHARES seed=$SEEDS \
#     runs_dir=runs/notebooks/06 > /dev/null

# %% [markdown]
# `convline report runs/notebooks/06` would show a table for each size of the training set. Here is the validation
# accuracy in one; below it a line for each kind of layer, with 95 % confidence intervals over the seeds.

# %%
found = find_runs([Path("runs/notebooks/06")])
KIND = {pattern: kind for kind, pattern in PATTERNS.items()}
rows = [
    {
        "kind": KIND[row.value("model.pattern")],
        "share": row.value("data.train_fraction"),
        "accuracy": row.sample("val/acc").mean,
        "margin": row.sample("val/acc").interval[1] - row.sample("val/acc").mean,
    }
    for table in tables(found)
    for row in table.rows
]
results = pd.DataFrame(rows).sort_values("share")
results.pivot(index="share", columns="kind", values="accuracy")[list(PATTERNS)].map("{:.2%}".format)

# %%
figure, axis = plt.subplots(figsize=(7, 3.6))
for kind in PATTERNS:
    group = results[results["kind"] == kind]
    axis.errorbar(
        100 * group["share"], 100 * group["accuracy"], 100 * group["margin"], marker="o", capsize=3, label=kind
    )
axis.set(xscale="log", xlabel="share of the training images, %", ylabel="validation accuracy, %")
axis.set_xticks(100 * results["share"].unique(), [f"{100 * share:g}" for share in results["share"].unique()])
axis.minorticks_off()
axis.grid(alpha=0.3)
axis.legend()
plt.show()

# %% [markdown]
# Read the plot from left to right: where do the three differ most? What would it take the dense network to catch up?
# And do the intervals allow you to tell *local* from *dense*?
#
# Not every setting puts them in this order. The lesson *prior_ladder* in
# [docs/reproduction.md](../docs/reproduction.md) also gives the three equal numbers of units, but finds dense first and
# convolutional last from 1,000 images on: its windows of 3×3 let the last maps see 7 pixels of the image, where those
# of 5×5 see 13, and it trains with Adam at a learning rate of 0.001, where this notebook uses SGD with momentum at
# 0.05. With 1,000 images the dense network has 91 to 92 % of the test images right whichever of the two is exchanged,
# and the convolutional one 90 % as in the lesson, 91 % with this notebook's layers alone or its training alone, and
# 92 % with both (means of three seeds).
#
# ## Moved digits
#
# A convolution of a moved image is the moved map (it is *equivariant* to shifts). That does not mean that the answer
# stays the same (that would be *invariant*): the dense layer at the end still knows where everything is. What happens
# when the digits are moved by a few pixels, which none of the networks has been trained for?


# %%
def example_of(kind):
    """The run of a kind with the largest training set and the first seed."""
    runs = [run for run in found if KIND[run.settings["model.pattern"]] == kind and run.seed == 0]
    return LoadedRun(max(runs, key=lambda run: run.settings["data.train_fraction"]).folder)


curves = []
for kind in PATTERNS:
    run = example_of(kind)
    images = run.samples("val", 1000)
    curves.append((kind, shift_curve(run.network, images.images, images.labels)))
draw(curves, f"{len(images.labels):,} validation images, their edges repeated")

# %% [markdown]
# All of them lose. What makes a network more tolerant is *pooling*, which forgets exactly where in its window
# something was, and training with moved images (`data.augment=[translate(2)]`).
#
# ## What was learned
#
# - Sharing weights makes a network small: 5,994 parameters instead of 1.2 million, and here with the better mean at
#   each of the three sizes of the training set.
# - It was the sharing that helped with few images: windows without it were worse than dense layers at 1 %.
# - Whether the bet pays depends on the windows and on the training too: with smaller windows and another optimizer the
#   order is the opposite. A claim about "convolutions" is a claim about the settings that were tried.
# - Equivariant layers do not make the answers invariant. With moved digits the convolutional network was the best of
#   the three, with one run each; the lesson *translation* on the [same page](../docs/reproduction.md) repeats this
#   with three seeds, and can tell convolutional from dense, but not from local.
#
# **Exercises**
#
# 1. Add a fourth network, the convolutional one with `POOL` after each `RELU` and without the strides. Is its curve
#    of moved digits flatter?
# 2. Shuffle the pixels of all images in the same way, and the bet is lost. Which of the three would not notice? Why?
# 3. With the whole training set and more epochs, does the dense network catch up? What does it cost?
# 4. Change one thing at a time in the lesson: `python train.py -m experiment=prior_ladder data.per_class=100
#    trainer.max_epochs=20` with `[CONV(16, 5, 2) -> RELU]*2 -> FC` for its `model.pattern`; then with `optimizer=sgd
#    optimizer.lr=0.05` and its own.
#
# That was the last notebook. From here: the [README](../README.md), `python train.py --help`, and your own images
# with `data=folder`.
