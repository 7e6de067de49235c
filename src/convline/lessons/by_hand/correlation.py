"""Slide a kernel over an image: cross-correlation, convolution, and the size of their output."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from convline.formatting import shape_text

Array = NDArray[Any]


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Count the positions of a kernel on a line of pixels: floor((size + 2 padding - kernel) / stride) + 1.

    Args:
        size: length of the line in pixels.
        kernel: length of the kernel in pixels.
        stride: pixels from one position to the next; a smaller stride gives a larger output.
        padding: pixels that are added before and after the line.
    Raises:
        ValueError: a number is out of range, or the kernel is longer than the padded line.

    Source: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, relationship 6.
    """
    if min(size, kernel, stride) < 1 or padding < 0:
        raise ValueError(
            f"size {size}, kernel {kernel} and stride {stride} must be at least 1, and padding {padding} at least 0"
        )
    if kernel > size + 2 * padding:
        raise ValueError(f"a kernel of {kernel} pixels does not fit into {size} pixels with padding {padding}")
    return (size + 2 * padding - kernel) // stride + 1


def correlate(image: ArrayLike, kernel: ArrayLike, stride: int = 1, padding: int = 0) -> Array:
    """Compute the cross-correlation: at each position, multiply the kernel with the window and add up the products.

    Layers called "convolution" compute this.

    Args:
        image: H×W, or C×H×W.
        kernel: h×w, or F×C×h×w, where each of the F filters sums over all channels.
        stride: pixels from one window to the next, in both directions.
        padding: rows and columns of zeros around the image.
    Returns:
        Rows×columns, or F×rows×columns; int64 if image and kernel hold integers, else float64.
    Raises:
        ValueError: the shapes do not go together, or the kernel does not fit into the padded image.
    """
    image_CHW, kernel_FChw = with_channels(image, kernel)
    windows = sliding_windows(image_CHW, kernel_FChw.shape[2:], stride, padding)
    output = np.einsum("crshw,fchw->frs", windows, kernel_FChw)
    return output if np.ndim(image) == 3 else output[0]


def convolve(image: ArrayLike, kernel: ArrayLike, stride: int = 1, padding: int = 0) -> Array:
    """Compute the convolution of mathematics: `correlate` with the kernel flipped in both directions.

    A network that learns its kernels learns either form equally well, since they differ only by flipped weights.
    """
    return correlate(image, flipped(kernel), stride, padding)


def flipped(kernel: ArrayLike) -> Array:
    """Reverse the order of a kernel's rows and columns."""
    return np.asarray(kernel)[..., ::-1, ::-1]


def sliding_windows(image_CHW: Array, kernel_shape: tuple[int, ...], stride: int, padding: int) -> Array:
    """List the window at each position of the kernel: C×rows×columns×h×w, a view of the padded image."""
    for size, side in zip(image_CHW.shape[1:], kernel_shape, strict=True):
        output_size(size, side, stride, padding)  # raises if the kernel does not fit
    padded = np.pad(image_CHW, ((0, 0), (padding, padding), (padding, padding)))
    return sliding_window_view(padded, kernel_shape, axis=(1, 2))[:, ::stride, ::stride]


def with_channels(image: ArrayLike, kernel: ArrayLike) -> tuple[Array, Array]:
    """Bring image and kernel to the shapes C×H×W and F×C×h×w.

    Raises:
        ValueError: the shapes do not go together.
    """
    image, kernel = as_numbers(image), as_numbers(kernel)
    if image.ndim == 2 and kernel.ndim == 2:
        return image[None], kernel[None, None]
    if image.ndim != 3 or kernel.ndim != 4 or image.shape[0] != kernel.shape[1]:
        raise ValueError(
            f"an image H×W goes with a kernel h×w, and C×H×W with F×C×h×w, but the image is {_shape(image)} "
            f"and the kernel {_shape(kernel)}"
        )
    return image, kernel


def as_numbers(values: ArrayLike) -> Array:
    """Convert values to int64 or float64, in which sums of bytes do not overflow."""
    array = np.asarray(values)
    return array.astype(np.result_type(array, np.int64))


def _shape(array: Array) -> str:
    return shape_text(array.shape) or "a single number"
