"""Compute again the numbers that tutorials and papers print about convolution.

Tutorials show an animation of the sharpening kernel whose first output is 114. Its 7×7 cells are a picture of 5×5
pixels within a frame of zeros (padding 1). In the upper left corner the window holds five of the zeros, and
5 · 60 - 113 - 73 = 114; without the frame the first output would be 5 · 121 - 113 - 73 - 54 - 99 = 266.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convline.lessons.by_hand.backward import gradients
from convline.lessons.by_hand.correlation import Array, convolve, correlate, output_size
from convline.lessons.by_hand.kernels import KERNELS
from convline.lessons.by_hand.matrix import toeplitz

GUIDE = 'Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016'
ANIMATION = "the animation of the sharpening kernel that tutorials of ConvNets show"

GUIDE_IMAGE = np.array([[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]])
GUIDE_KERNEL = np.array([[0, 1, 2], [2, 2, 0], [0, 1, 2]])
ANIMATION_IMAGE = np.array(
    [[60, 113, 56, 139, 85], [73, 121, 54, 84, 128], [131, 99, 70, 129, 127], [80, 57, 115, 69, 134],
     [104, 126, 123, 95, 130]]
)  # fmt: skip
# size, kernel, stride, padding of figures 2.1 to 2.7 of the guide
GUIDE_SIZES = [(4, 3, 1, 0), (5, 4, 1, 2), (5, 3, 1, 1), (5, 3, 1, 2), (5, 3, 2, 0), (5, 3, 2, 1), (6, 3, 2, 1)]


@dataclass(frozen=True)
class WorkedExample:
    """Hold the numbers of a worked example, as published and as computed by this package.

    Args:
        name: the example in words.
        published: numbers that the source prints.
        computed: numbers that this package computes.
        source: source of the published numbers.
    """

    name: str
    published: Array
    computed: Array
    source: str

    @property
    def agrees(self) -> bool:
        """Return whether published and computed numbers are equal, up to a relative error of 1e-9."""
        return self.published.shape == self.computed.shape and np.allclose(self.published, self.computed, 1e-9, 1e-12)


def worked_examples() -> list[WorkedExample]:
    """Compute all worked examples."""
    return [*_sharpening(), *_guide(), *_sizes(), _matrix(), *_backward()]


def _sharpening() -> list[WorkedExample]:
    output = correlate(ANIMATION_IMAGE, KERNELS["sharpen"].weights, padding=1)
    return [WorkedExample("sharpening, first output", np.array(114), output[0, 0], ANIMATION)]


def _guide() -> list[WorkedExample]:
    image, kernel = GUIDE_IMAGE, GUIDE_KERNEL
    unflipped = np.array([[12, 12, 17], [10, 17, 19], [9, 6, 14]])
    flipped_kernel = np.array([[18, 20, 19], [10, 9, 17], [11, 8, 14]])
    strided = np.array([[6, 17, 3], [8, 17, 13], [6, 4, 4]])
    return [
        WorkedExample("5×5 by 3×3, cross-correlation", unflipped, correlate(image, kernel), f"{GUIDE}, figure 1.1"),
        WorkedExample("5×5 by 3×3, kernel flipped", flipped_kernel, convolve(image, kernel), "scipy.signal.convolve2d"),
        WorkedExample(
            "5×5 by 3×3, stride 2, padding 1", strided, correlate(image, kernel, 2, 1), f"{GUIDE}, figure 1.2"
        ),
    ]


def _sizes() -> list[WorkedExample]:
    sizes = np.array([output_size(*case) for case in GUIDE_SIZES])
    strides = np.array([output_size(7, 3, stride) for stride in (1, 2, 3)])
    return [
        WorkedExample("output sizes", np.array([2, 6, 5, 7, 2, 3, 3]), sizes, f"{GUIDE}, figures 2.1 to 2.7"),
        WorkedExample("7 pixels, kernel 3, stride 1, 2, 3: a smaller stride gives a larger output", np.array([5, 3, 2]),
                strides, "counted on squared paper"),
    ]  # fmt: skip


def _matrix() -> WorkedExample:
    a, b, c, d, e, f, g, h, i = range(1, 10)
    published = np.array([
        [a, b, c, 0, d, e, f, 0, g, h, i, 0, 0, 0, 0, 0],
        [0, a, b, c, 0, d, e, f, 0, g, h, i, 0, 0, 0, 0],
        [0, 0, 0, 0, a, b, c, 0, d, e, f, 0, g, h, i, 0],
        [0, 0, 0, 0, 0, a, b, c, 0, d, e, f, 0, g, h, i],
    ])  # fmt: skip
    kernel = np.array([[a, b, c], [d, e, f], [g, h, i]])
    return WorkedExample("3×3 over 4×4 as a matrix", published, toeplitz(kernel, (4, 4)), f"{GUIDE}, section 4.1")


def _backward() -> list[WorkedExample]:
    """Compare the gradients of Σ weight · output; the weights 1, 2, 3 … make every output count differently."""
    import torch  # as the reference; everything else in this package is NumPy
    import torch.nn.functional as F

    upstream = np.arange(1.0, 10).reshape(3, 3)
    image, kernel = GUIDE_IMAGE.astype(float), GUIDE_KERNEL.astype(float)
    leaves = [torch.from_numpy(array).requires_grad_() for array in (image, kernel)]
    output = F.conv2d(leaves[0][None, None], leaves[1][None, None], stride=2, padding=1)
    expected = torch.autograd.grad(output, leaves, torch.from_numpy(upstream)[None, None])
    computed = gradients(image, kernel, upstream, stride=2, padding=1)
    return [
        WorkedExample(f"gradient of the {name}, stride 2, padding 1", theirs.numpy(), ours, "torch's autograd")
        for name, theirs, ours in zip(("image", "kernel"), expected, computed, strict=True)
    ]
