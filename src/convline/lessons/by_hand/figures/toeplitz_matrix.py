"""The matrix that does what a kernel does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convline.figures import canvas
from convline.lessons.by_hand.correlation import Array, correlate, numbers
from convline.lessons.by_hand.figures import matrix_table
from convline.lessons.by_hand.matrix import toeplitz

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERED = np.arange(1, 10).reshape(3, 3)
SIDE, TOP = 24, 66  # pixels


def toeplitz_matrix(
    kernel: ArrayLike = NUMBERED, input_shape: tuple[int, int] = (5, 5), stride: int = 1, padding: int = 0
) -> Figure:
    """The matrix of a kernel: a row for each output, a column for each pixel, one colour for each weight.

    Args:
        kernel, input_shape, stride, padding: as of `toeplitz`; small ones can be read.
    Raises:
        ValueError: the kernel does not fit into the padded image.
    """
    kernel = numbers(kernel)
    matrix = toeplitz(kernel, input_shape, stride, padding)
    rows, columns = correlate(np.zeros(input_shape), kernel, stride, padding).shape
    # the colours follow the weight's place in the kernel, not its value, which two places may share
    places = toeplitz(np.arange(1, kernel.size + 1).reshape(kernel.shape), input_shape, stride, padding)
    own = np.arange(1, kernel.size + 1).reshape(kernel.shape)
    left = 40 + kernel.shape[1] * matrix_table.SIDE
    zeros = 1 - np.count_nonzero(places) / places.size
    said = (
        f"{rows}×{columns} = {matrix.shape[0]} outputs from {input_shape[0]}×{input_shape[1]} = {matrix.shape[1]} "
        f"pixels: {matrix.size} entries, {zeros:.0%} of them zero, the others made of {kernel.size} weights"
    )
    wide = max(left + matrix.shape[1] * SIDE, 16 + canvas.text_width(said, canvas.SMALL))
    high = max(matrix.shape[0] * SIDE, kernel.shape[0] * matrix_table.SIDE)
    figure = canvas.blank(wide + 16, TOP + high + 26)
    canvas.write(figure, 16, 10, "Convolution is a product with a matrix", canvas.LARGE, bold=True)
    canvas.write(figure, 16, 32, said, canvas.SMALL, canvas.FAINT)
    matrix_table.draw_matrix(figure, kernel, 16, TOP - 10, "kernel", tints(own))
    matrix_table.draw_matrix(figure, matrix, left, TOP - 10, "matrix", tints(places), side=SIDE)
    return figure


def tints(places: Array) -> NDArray[np.str_]:
    """A light colour for each place in the kernel, from 1 on; white for 0."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    most = max(int(places.max()), 1)
    full = [colormaps["turbo"]((number + 0.5) / most)[:3] for number in range(most)]
    light = [to_hex((0.55 + 0.45 * red, 0.55 + 0.45 * green, 0.55 + 0.45 * blue)) for red, green, blue in full]
    return np.array([matrix_table.WHITE, *light])[places]
