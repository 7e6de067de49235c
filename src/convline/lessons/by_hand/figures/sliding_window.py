"""Draw one position of the sliding window, with its arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from convline.figures import canvas
from convline.lessons.by_hand.correlation import Array, as_numbers, correlate
from convline.lessons.by_hand.figures import matrix_table
from convline.lessons.by_hand.kernels import KERNELS
from convline.lessons.by_hand.worked_examples import ANIMATION_IMAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP, GAP = 62, 46  # pixels above the tables, and between them


def sliding_window(
    image: ArrayLike = ANIMATION_IMAGE,
    kernel: ArrayLike = KERNELS["sharpen"].weights,
    stride: int = 1,
    padding: int = 1,
    at: tuple[int, int] = (0, 0),
) -> Figure:
    """Draw image, kernel, their products and the output at one position of the window.

    Args:
        image, kernel, stride, padding: as for `correlate`, without channels; at most a dozen rows and columns.
        at: row and column of the output whose arithmetic is shown.
    Raises:
        ValueError: the shapes do not go together, or the output has no such position.
    """
    image, kernel = as_numbers(image), as_numbers(kernel)
    output = correlate(image, kernel, stride, padding)
    if not (0 <= at[0] < output.shape[0] and 0 <= at[1] < output.shape[1]):
        raise ValueError(f"the output is {output.shape[0]}×{output.shape[1]}, so there is no place {at} in it")
    padded = np.pad(image, padding)
    top, left = at[0] * stride, at[1] * stride
    height, width = kernel.shape
    window = padded[top : top + height, left : left + width]

    backgrounds = np.pad(np.full(image.shape, matrix_table.WHITE), padding, constant_values=matrix_table.PADDING)
    backgrounds[top : top + height, left : left + width] = matrix_table.WINDOW
    output_backgrounds = np.full(output.shape, matrix_table.WHITE)
    output_backgrounds[at] = matrix_table.WINDOW
    tables = [
        (padded, f"image{f', padding {padding}' if padding else ''}", backgrounds, (top, left, height, width), "×"),
        (kernel, "kernel", None, None, "="),
        (window * kernel, "products", None, None, "Σ"),
        (output, f"output{f', stride {stride}' if stride > 1 else ''}", output_backgrounds, (*at, 1, 1), ""),
    ]
    total_width = sum(matrix_table.table_size(values)[0] for values, *_ in tables) + GAP * (len(tables) - 1)
    total_height = max(matrix_table.table_size(values)[1] for values, *_ in tables)
    sum_text = arithmetic(window, kernel)
    title = "The kernel slides over the image; each place gives one number"
    total_width = max(total_width, canvas.text_width(title, canvas.LARGE), canvas.text_width(sum_text))
    figure = canvas.blank(total_width + 32, TOP + total_height + 16)
    canvas.write(figure, 16, 10, title, canvas.LARGE, bold=True)
    canvas.write(figure, 16, 32, sum_text)
    x = 16.0
    for values, title, colors, framed, sign in tables:
        across, down = matrix_table.table_size(values)
        y = TOP + (total_height - down) / 2
        matrix_table.draw_matrix(figure, values, x, y, title, colors, framed)
        x += across
        if sign:
            canvas.write(figure, x + GAP / 2, TOP + total_height / 2, sign, canvas.LARGE, canvas.FAINT, "center")
        x += GAP
    return figure


def arithmetic(window: Array, kernel: Array) -> str:
    """Write out the sum of products, without those that are zero: "5·60 − 1·113 − 1·73 = 114"."""
    products = [
        (weight, pixel) for weight, pixel in zip(kernel.ravel(), window.ravel(), strict=True) if weight and pixel
    ]
    terms = [
        f"{'−' if weight < 0 else '+'} {matrix_table.format_number(abs(weight))}·{matrix_table.format_number(pixel)}"
        for weight, pixel in products
    ]
    text = " ".join(terms).removeprefix("+ ") or "0"
    return f"{text} = {matrix_table.format_number((window * kernel).sum())}"
