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
# # 1 · Convolution by hand
#
# A ConvNet is a network whose first layers are convolutions. This notebook computes convolutions in plain NumPy,
# small enough to be checked with a pencil: forward, as a matrix, and backward. Nothing here needs a data set or a
# GPU.
#
# *To run it, install Convline (see the README) and open this file in Jupyter. With `CONVLINE_SHORT=1` in the
# environment all six notebooks use small embedded data and finish in seconds.*

# %%
# %matplotlib inline
import os

import numpy as np

from convline.lessons.by_hand import (
    KERNELS,
    convolve,
    correlate,
    figures,
    gradients,
    output_size,
    toeplitz,
    worked_examples,
)

if os.path.basename(os.getcwd()) == "notebooks":
    os.chdir("..")
SHORT = os.environ.get("CONVLINE_SHORT") == "1"

# %% [markdown]
# ## One window, one number
#
# To a computer a gray image is a table of numbers. A **kernel** is a small table. Lay it on the image, multiply what
# lies on top of each other, add the products: that is one number of the output. Then move the kernel on by one pixel.
#
# Below, the image has a frame of zeros around it (gray), so that the kernel can also be centered on the pixels of the
# edge.

# %%
figures.sliding_window()

# %%
image = np.array(
    [
        [60, 113, 56, 139, 85],
        [73, 121, 54, 84, 128],
        [131, 99, 70, 129, 127],
        [80, 57, 115, 69, 134],
        [104, 126, 123, 95, 130],
    ]
)
sharpen = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
correlate(image, sharpen, padding=1)

# %% [markdown]
# The function hides no secret. These are the four loops that it stands for, written as you would explain them:


# %%
def my_correlate(image, kernel):
    rows = image.shape[0] - kernel.shape[0] + 1
    columns = image.shape[1] - kernel.shape[1] + 1
    output = np.zeros((rows, columns), dtype=int)
    for row in range(rows):
        for column in range(columns):
            for down in range(kernel.shape[0]):
                for right in range(kernel.shape[1]):
                    output[row, column] += image[row + down, column + right] * kernel[down, right]
    return output


np.array_equal(my_correlate(np.pad(image, 1), sharpen), correlate(image, sharpen, padding=1))

# %% [markdown]
# ## Stride and padding
#
# The **stride** is how far the kernel moves from one place to the next. The **padding** is how many rows and columns
# are added on each side; *zero padding* says that zeros are put there, not that there is no padding.

# %%
figures.sliding_window(stride=2, at=(1, 2))

# %% [markdown]
# On a line of `size` pixels the kernel has
#
# $$\left\lfloor\frac{\text{size} + 2\,\text{padding} - \text{kernel}}{\text{stride}}\right\rfloor + 1$$
#
# places. A smaller stride therefore gives a *larger* output.

# %%
print("stride  28 pixels, kernel 5  ... with padding 2")
for stride in (1, 2, 3, 4):
    print(f"{stride:6}  {output_size(28, 5, stride):19}  {output_size(28, 5, stride, padding=2):18}")

# %% [markdown]
# **Exercise.** Which padding keeps the size of the image, for a kernel of side 3, 5 or 7 with stride 1? Check with
# `output_size`. Why is it difficult for a kernel of side 4?
#
# ## Convolution or cross-correlation?
#
# In mathematics a convolution turns the kernel by 180° before it slides; without the turn it is called
# *cross-correlation*. What neural networks call a convolution is the second. The well-known example of Dumoulin &
# Visin (2016) shows the difference:

# %%
guide_image = np.array([[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]])
guide_kernel = np.array([[0, 1, 2], [2, 2, 0], [0, 1, 2]])
print("cross-correlation, as in a network:", *correlate(guide_image, guide_kernel), sep="\n")
print("convolution, kernel flipped:", *convolve(guide_image, guide_kernel), sep="\n")

# %% [markdown]
# For a network it makes no difference which of the two it uses, because it learns its kernels: with the other one it
# would learn them turned.
#
# ## Kernels that people designed
#
# Long before networks learned kernels, people wrote them down. Those for edges answer where the brightness changes in
# one direction, and give zero where nothing changes.

# %%
figures.edge_kernels()

# %%
for name in ("Sobel, right", "Prewitt, right", "Laplacian", "binomial blur"):
    print(f"{name}: {KERNELS[name].effect}", KERNELS[name].weights, f"  source: {KERNELS[name].source}", sep="\n")

# %% [markdown]
# The same kernels on a handwritten digit:

# %%
if SHORT:
    from sklearn.datasets import load_digits

    digit = load_digits().images[0]
else:
    from convline.data.sources import mnist

    digit = mnist(os.environ.get("CONVLINE_DATA", "data"), "train").images[7, 0].numpy()
figures.edge_kernels(digit)

# %% [markdown]
# ## Convolution is a matrix product
#
# Write the image as one long column of pixels. Then every output is a weighted sum of that column, so the whole
# convolution is one matrix. A dense layer has such a matrix too, but all its entries are free. Here most are zero (a
# window is *local*), and the others are the same few weights again and again (they are *shared*).

# %%
figures.toeplitz_matrix()

# %%
matrix = toeplitz(guide_kernel, guide_image.shape)
print((matrix @ guide_image.ravel()).reshape(3, 3))

# %% [markdown]
# What that saves, for a layer that turns a 28×28 image into a 28×28 map:

# %%
pixels = 28 * 28
print(f"dense: {pixels * pixels:,} weights; convolution with a 3×3 kernel: 9")

# %% [markdown]
# ## Backward
#
# To learn a kernel we must know how the loss changes when a weight changes. If the loss is the sum of the outputs,
# each output counts alike, and the gradient of a weight is the sum of all pixels that it has met. The gradient of a
# pixel is the sum of all weights that it has met: pixels in the middle are in more windows than those in the corners.

# %%
figures.forward_backward()

# %% [markdown]
# `gradients` works this out by the chain rule. torch's autograd gives the same numbers:

# %%
import torch
import torch.nn.functional as F

upstream = np.arange(1.0, 10).reshape(3, 3)  # as if the later layers had asked for it
of_image, of_kernel = gradients(guide_image, guide_kernel, upstream)

x = torch.tensor(guide_image, dtype=torch.float64, requires_grad=True)
k = torch.tensor(guide_kernel, dtype=torch.float64, requires_grad=True)
F.conv2d(x[None, None], k[None, None]).backward(torch.tensor(upstream)[None, None])
print("image:", np.allclose(of_image, x.grad), " kernel:", np.allclose(of_kernel, k.grad))

# %% [markdown]
# Two facts worth knowing, for stride 1. The gradient of the kernel is the image correlated with the upstream
# gradient. The gradient of the image is the upstream gradient *convolved* (this time with the flip) with the kernel:

# %%
print(np.allclose(of_kernel, correlate(guide_image, upstream)))
print(np.allclose(of_image, convolve(upstream, guide_kernel, padding=2)))

# %% [markdown]
# ## Learning a kernel
#
# That is all it takes to learn. Someone has filtered noise with Sobel's kernel and does not tell us which it was. We
# begin with zeros and go against the gradient of the mean squared error.

# %%
noise = np.random.default_rng(0).standard_normal((32, 32))
target = correlate(noise, KERNELS["Sobel, right"].weights)
kernel = np.zeros((3, 3))
for step in range(61):
    error = correlate(noise, kernel) - target
    if step % 20 == 0:
        print(f"step {step:2}  mean squared error {np.mean(error**2):8.5f}")
    _, slope = gradients(noise, kernel, 2 * error / error.size)
    kernel -= 0.1 * slope
print(kernel.round(2) + 0.0)

# %% [markdown]
# A ConvNet does the same with many kernels at once, and with a loss that says how wrong its answers are.
#
# ## Channels and filters
#
# A color image has three channels, so a kernel has three layers, and the products of all three are added into one
# number. A convolution layer has several such kernels, called *filters*; each gives one channel of the output.

# %%
rng = np.random.default_rng(0)
color_image = rng.standard_normal((3, 8, 8))  # channels, height, width
filters = rng.standard_normal((16, 3, 5, 5))  # filters, channels, height, width
maps = correlate(color_image, filters, padding=2)
print(maps.shape, "with", filters.size, "weights")
print(np.allclose(maps, F.conv2d(torch.tensor(color_image)[None], torch.tensor(filters), padding=2)[0]))

# %% [markdown]
# ## What books and lessons print
#
# Worked examples from the literature and from lessons, computed again:

# %%
for example in worked_examples():
    print("agrees " if example.agrees else "DIFFERS", f"{example.name:80}", example.source)

# %% [markdown]
# **Exercises**
#
# 1. Find a kernel that moves the image one pixel to the right. What happens at the edge?
# 2. Blur, then sharpen: do you get the image back? Multiply the two `toeplitz` matrices to see which single matrix
#    does both.
# 3. In *Learning a kernel*, let the target be `correlate(noise, …) ** 2`. Why can no kernel reach it?
#
# Next: [a first ConvNet on MNIST](02_first_convnet.ipynb).
