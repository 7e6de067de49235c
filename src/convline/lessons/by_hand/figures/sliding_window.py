"""One place of the sliding window, with its arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from convline.figures import canvas
from convline.lessons.by_hand.correlation import Array, correlate, numbers
from convline.lessons.by_hand.figures import matrix_table
from convline.lessons.by_hand.kernels import KERNELS
from convline.lessons.by_hand.worked_examples import ANIMATION_IMAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP, BETWEEN = 62, 46  # pixels above the tables, and between them


def sliding_window(
    image: ArrayLike = ANIMATION_IMAGE,
    kernel: ArrayLike = KERNELS["sharpen"].weights,
    stride: int = 1,
    padding: int = 1,
    at: tuple[int, int] = (0, 0),
) -> Figure:
    """Image, kernel, their products and the output, at one place of the window.

    Args:
        image, kernel, stride, padding: as of `correlate`, without channels; a dozen rows and columns can be read.
        at: row and column of the output whose arithmetic is shown.
    Raises:
        ValueError: the shapes do not go together, or there is no such place.
    """
    image, kernel = numbers(image), numbers(kernel)
    output = correlate(image, kernel, stride, padding)
    if not (0 <= at[0] < output.shape[0] and 0 <= at[1] < output.shape[1]):
        raise ValueError(f"the output is {output.shape[0]}×{output.shape[1]}, so there is no place {at} in it")
    padded = np.pad(image, padding)
    top, left = at[0] * stride, at[1] * stride
    height, width = kernel.shape
    seen = padded[top : top + height, left : left + width]

    grounds = np.pad(np.full(image.shape, matrix_table.WHITE), padding, constant_values=matrix_table.OUTSIDE)
    grounds[top : top + height, left : left + width] = matrix_table.SEEN
    found = np.full(output.shape, matrix_table.WHITE)
    found[at] = matrix_table.SEEN
    tables = [
        (padded, f"image{f', padding {padding}' if padding else ''}", grounds, (top, left, height, width), "×"),
        (kernel, "kernel", None, None, "="),
        (seen * kernel, "products", None, None, "Σ"),
        (output, f"output{f', stride {stride}' if stride > 1 else ''}", found, (*at, 1, 1), ""),
    ]
    wide = sum(matrix_table.size(values)[0] for values, *_ in tables) + BETWEEN * (len(tables) - 1)
    high = max(matrix_table.size(values)[1] for values, *_ in tables)
    told = arithmetic(seen, kernel)
    title = "The kernel slides over the image; each place gives one number"
    wide = max(wide, canvas.text_width(title, canvas.LARGE), canvas.text_width(told))
    figure = canvas.blank(wide + 32, TOP + high + 16)
    canvas.write(figure, 16, 10, title, canvas.LARGE, bold=True)
    canvas.write(figure, 16, 32, told)
    x = 16.0
    for values, title, colours, framed, sign in tables:
        across, down = matrix_table.size(values)
        y = TOP + (high - down) / 2
        matrix_table.draw_matrix(figure, values, x, y, title, colours, framed)
        x += across
        if sign:
            canvas.write(figure, x + BETWEEN / 2, TOP + high / 2, sign, canvas.LARGE, canvas.FAINT, "center")
        x += BETWEEN
    return figure


def arithmetic(seen: Array, kernel: Array) -> str:
    """The sum in words, without what is multiplied by zero: "5·60 − 1·113 − 1·73 = 114"."""
    products = [(weight, pixel) for weight, pixel in zip(kernel.ravel(), seen.ravel(), strict=True) if weight and pixel]
    terms = [
        f"{'−' if weight < 0 else '+'} {matrix_table.format_number(abs(weight))}·{matrix_table.format_number(pixel)}"
        for weight, pixel in products
    ]
    told = " ".join(terms).removeprefix("+ ") or "0"
    return f"{told} = {matrix_table.format_number((seen * kernel).sum())}"
