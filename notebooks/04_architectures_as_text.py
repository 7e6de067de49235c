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
# # 4 · The architectures as text
#
# LeNet, AlexNet, VGG, GoogLeNet, ResNet: the famous networks look very different in drawings. As text they are a few
# lines each, made of the same words. Nothing is trained here; no data are needed.

# %%
import pandas as pd
from IPython.display import SVG

from convline.config import load_config
from convline.network.build import build_meta_network, build_network
from convline.network.diagram import draw
from convline.network.summary import summarize
from convline.pattern.source import PatternError

# %% [markdown]
# ## One line for most of them
#
# The field teaches ConvNets by a line like this:
#
# ```
# INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*K -> FC
# ```
#
# `->` joins layers, `[...]*N` repeats a group, `POOL?` stands for "perhaps a pool". In Convline the line is not a
# picture of the network: it *is* the network.

# %%
network = build_network(
    "INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*K -> FC",
    input_shape=(1, 28, 28),
    num_classes=10,
    N=2,
    M=2,
    K=1,
    pool=True,
)
network

# %% [markdown]
# What comes out is a plain module of PyTorch, whose parts have names (`stage2.conv1`). Sizes between the layers are
# nowhere written: each layer takes them from the layer before. A drawing of it:

# %%
table = summarize(network, (1, 28, 28))
SVG(draw(network, table, "N = 2, M = 2, K = 1"))

# %% [markdown]
# ## What N and M do
#
# More convolutions in a stage (N) let each position see farther; more stages (M) do so faster, because every pool
# doubles the step. Here are parameters, multiplications (*macs*), and how far the network *sees*: the receptive field
# of one position of the last maps, in pixels. The dense layers after the maps do not count here, since they see
# everything in any case.


# %%
def sees(table):
    """The receptive field of the last maps."""
    return [layer.receptive_field for layer in table.layers if len(layer.output_shape) == 3][-1]


GRAMMAR = "[[CONV -> RELU]*N -> POOL]*M -> FC(128) -> RELU -> FC"
rows = []
for N in (1, 2, 3):
    for M in (1, 2, 3, 4):
        summary = summarize(build_network(GRAMMAR, (1, 28, 28), 10, N=N, M=M), (1, 28, 28))
        rows.append({"N": N, "M": M, "parameters": summary.parameters, "macs": summary.macs, "sees": sees(summary)})
pd.DataFrame(rows).pivot(index="N", columns="M")

# %% [markdown]
# Surprise: *more* stages have *fewer* parameters. Most weights sit in the first dense layer, which gets smaller with
# each pool. And from M = 3 on some see more than the image's 28 pixels: their windows reach over its edges.
#
# ## Lists: VGG
#
# VGG-16 is the line above with a number for each stage. A list is spread over the repetitions of its group.

# %%
print(load_config(["model=vgg16"]).model.pattern)
vgg = build_network(
    "[[CONV(filters) -> BN -> RELU]*convs -> POOL]*5 -> [FC(512) -> RELU -> DROPOUT]*2 -> FC",
    input_shape=(3, 32, 32),
    num_classes=10,
    filters=[64, 128, 256, 512, 512],
    convs=[2, 2, 3, 3, 3],
)
SVG(draw(vgg, summarize(vgg, (3, 32, 32)), "VGG-16 for 32×32 images"))

# %% [markdown]
# Why only 3×3? Two 3×3 windows in a row see 5×5 pixels, with 18 weights a channel instead of 25 and one more ReLU
# between them.
#
# ## Branches: GoogLeNet
#
# An *inception module* looks through windows of several sizes at once and puts the results side by side: `concat{ a |
# b | c }`. Its 1×1 convolutions come first to make the maps fewer, since large windows over many maps are expensive.
# A *block* is such a piece of text under a name, with arguments.

# %%
google = load_config(["model=googlenet"])
for name, text in google.model.blocks.items():
    print(f"{name}: {text}")
print()
print(google.model.pattern)

# %%
module = build_network(
    "inception(16, 24, 32, 4, 8, 8) -> GAP -> FC",
    input_shape=(3, 32, 32),
    num_classes=10,
    blocks={
        "cr(f, k)": "CONV(f, k) -> RELU",
        "inception(a, r3, b, r5, c, p)": "concat{ cr(a, 1) | cr(r3, 1) -> cr(b, 3) | cr(r5, 1) -> cr(c, 5) "
        "| POOL(3, 1, 1) -> cr(p, 1) }",
    },
)
SVG(draw(module, summarize(module, (3, 32, 32)), "one inception module"))

# %% [markdown]
# ## Shortcuts: ResNet
#
# Very deep chains were hard to train. A *residual block* adds its input to its output, `add{ ... | identity }`, so
# that the layers only have to learn the difference, and the gradient finds a short way back. Where a stage changes
# the number of maps, the shortcut has to change it too: that is what `shortcut` does in this text.

# %%
residual = load_config(["model=resnet20"])
for name, text in residual.model.blocks.items():
    print(f"{name}: {text}")
print()
print(residual.model.pattern)

# %% [markdown]
# ## All of them, side by side
#
# First in their forms for ImageNet, with pictures of 3×224×224 pixels and 1,000 classes. *sees* is, as above, the
# receptive field of the last maps; *dense layers* is the share of the parameters that they hold, and *largest layer*
# the one with the most.


# %%
def side_by_side(names, *data):
    """A line for each network."""
    rows = []
    for name in names:
        _, summary = build_meta_network(load_config([f"model={name}", *data]))
        largest = max(summary.layers, key=lambda layer: layer.parameters)
        dense = sum(layer.parameters for layer in summary.layers if layer.kind == "Linear")
        rows.append(
            {
                "model": name,
                "parameters": f"{summary.parameters:,}",
                "macs": f"{summary.macs:,}",
                "sees": sees(summary),
                "dense layers": f"{dense / summary.parameters:.1%}",
                "largest layer": f"{largest.name}, {largest.parameters / summary.parameters:.0%}",
            }
        )
    return pd.DataFrame(rows).set_index("model")


side_by_side(["imagenet/alexnet", "imagenet/zfnet", "imagenet/vgg16", "imagenet/googlenet", "imagenet/resnet50"])

# %% [markdown]
# The first three keep 89 to 96 % of their parameters in three dense layers. The largest is the first of them: in
# VGG-16 it joins 512 maps of 7×7 to 4,096 outputs, which makes 103 million weights. GoogLeNet and ResNet-50 take the
# mean of each map instead (`GAP`), and need one dense layer only, for the classes.
#
# And in their forms for small images, on CIFAR-10's 3×32×32 pixels, with two smaller networks:

# %%
side_by_side(["lenet", "keras_cifar10", "alexnet", "zfnet", "vgg16", "googlenet", "resnet20"], "data=cifar10")

# %% [markdown]
# Here VGG-16 is with the newer ones. Five pools make maps of 1×1 from 32 pixels, so that its first dense layer takes
# 512 numbers only, and most of the parameters are in the convolutions. AlexNet's last maps are larger, and two thirds
# of its parameters are still in the dense layers.
#
# Parameters and multiplications in a terminal: `convline describe model=lenet,alexnet,vgg16,resnet20 data=cifar10`.
#
# ## Mistakes are found before training
#
# A pattern is checked as a whole before anything is allocated, and the message points at the place.

# %%
for text in ("[CONV(8) -> RELU -> POOL]*6 -> FC", "CONV(8) -> RELUU -> FC"):
    try:
        build_network(text, (1, 28, 28), 10)
    except PatternError as error:
        print(error, end="\n\n")

# %% [markdown]
# **Exercises**
#
# 1. Write LeNet-5 as it was in 1998: `tanh` for `relu`, means for maxima. Compare with `model=lenet_1998`.
# 2. How many stages can you give the grammar on 28×28 pixels before there is nothing left to pool? What does
#    `pad=same` change?
# 3. Write a residual block with three convolutions (1×1, 3×3, 1×1), as ResNet-50 has it, and draw it.
#
# [docs/patterns.md](../docs/patterns.md) has the whole language.
#
# Next: [what the hyperparameters do](05_hyperparameters.ipynb).
