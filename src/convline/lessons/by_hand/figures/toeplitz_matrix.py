"""Draw a convolution as a product with a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convline.figures import canvas
from convline.lessons.by_hand.correlation import Array, as_numbers, correlate
from convline.lessons.by_hand.figures import matrix_table
from convline.lessons.by_hand.matrix import toeplitz

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_KERNEL = np.arange(1, 10).reshape(3, 3)
SIDE, TOP = 24, 66  # pixels


def toeplitz_matrix(
    kernel: ArrayLike = DEFAULT_KERNEL, input_shape: tuple[int, int] = (5, 5), stride: int = 1, padding: int = 0
) -> Figure:
    """Draw the matrix of a kernel: one row per output, one column per pixel, one color per weight.

    Args:
        kernel, input_shape, stride, padding: as for `toeplitz`; only small ones can be read.
    Raises:
        ValueError: the kernel does not fit into the padded image.
    """
    kernel = as_numbers(kernel)
    matrix = toeplitz(kernel, input_shape, stride, padding)
    rows, columns = correlate(np.zeros(input_shape), kernel, stride, padding).shape
    # colors follow the index of a weight in the kernel (from 1 on, 0 for none), since two weights may have one value
    kernel_indices = np.arange(1, kernel.size + 1).reshape(kernel.shape)
    matrix_indices = toeplitz(kernel_indices, input_shape, stride, padding)
    left = 40 + kernel.shape[1] * matrix_table.SIDE
    zeros = 1 - np.count_nonzero(matrix_indices) / matrix_indices.size
    subtitle = (
        f"{rows}×{columns} = {matrix.shape[0]} outputs from {input_shape[0]}×{input_shape[1]} = {matrix.shape[1]} "
        f"pixels: {matrix.size} entries, {zeros:.0%} of them zero, the others made of {kernel.size} weights"
    )
    width = max(left + matrix.shape[1] * SIDE, 16 + canvas.text_width(subtitle, canvas.SMALL))
    height = max(matrix.shape[0] * SIDE, kernel.shape[0] * matrix_table.SIDE)
    figure = canvas.blank(width + 16, TOP + height + 26)
    canvas.write(figure, 16, 10, "Convolution is a product with a matrix", canvas.LARGE, bold=True)
    canvas.write(figure, 16, 32, subtitle, canvas.SMALL, canvas.FAINT)
    matrix_table.draw_matrix(figure, kernel, 16, TOP - 10, "kernel", tints(kernel_indices))
    matrix_table.draw_matrix(figure, matrix, left, TOP - 10, "matrix", tints(matrix_indices), side=SIDE)
    return figure


def tints(indices: Array) -> NDArray[np.str_]:
    """Choose a light color for each index from 1 on, and white for 0."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    num_colors = max(int(indices.max()), 1)
    full = [colormaps["turbo"]((index + 0.5) / num_colors)[:3] for index in range(num_colors)]
    light = [to_hex((0.55 + 0.45 * red, 0.55 + 0.45 * green, 0.55 + 0.45 * blue)) for red, green, blue in full]
    return np.array([matrix_table.WHITE, *light])[indices]
