"""Draw the forward and the backward pass of a convolution in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from convline.figures import canvas
from convline.lessons.by_hand.backward import gradients
from convline.lessons.by_hand.correlation import as_numbers, correlate
from convline.lessons.by_hand.figures import matrix_table
from convline.lessons.by_hand.worked_examples import GUIDE_IMAGE, GUIDE_KERNEL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP, GAP, MIN_WIDTH = 44, 52, 360  # pixels above the tables, between them, and of all of them at least


def forward_backward(
    image: ArrayLike = GUIDE_IMAGE,
    kernel: ArrayLike = GUIDE_KERNEL,
    upstream: ArrayLike | None = None,
    stride: int = 1,
    padding: int = 0,
) -> Figure:
    """Draw image, kernel and output, and below them the gradients of a loss with respect to each of them.

    Args:
        image, kernel, stride, padding: as for `correlate`, without channels.
        upstream: gradient of the loss with respect to the output; None: ones (the loss is the sum).
    Raises:
        ValueError: the shapes do not go together.
    """
    image, kernel = as_numbers(image), as_numbers(kernel)
    output = correlate(image, kernel, stride, padding)
    output_gradient = np.ones_like(output) if upstream is None else np.asarray(upstream)
    image_gradient, kernel_gradient = gradients(image, kernel, output_gradient, stride, padding)
    above = [(image, "image", "∗"), (kernel, "kernel", "="), (output, "output", "")]
    below = [
        (image_gradient, "∂loss/∂image", ""),
        (kernel_gradient, "∂loss/∂kernel", "←"),
        (output_gradient, "∂loss/∂output", ""),
    ]
    width = sum(matrix_table.table_size(values)[0] for values, *_ in above) + 2 * GAP
    height = max(matrix_table.table_size(values)[1] for values, *_ in above)
    figure = canvas.blank(max(width, MIN_WIDTH) + 32, TOP + 2 * height + 64)
    canvas.write(figure, 16, 10, "Forward, then backward", canvas.LARGE, bold=True)
    for row, tables in enumerate((above, below)):
        x, top = 16.0, TOP + row * (height + 32)
        for values, title, sign in tables:
            across, down = matrix_table.table_size(values)
            matrix_table.draw_matrix(figure, values, x, top + (height - down) / 2, title)
            x += across
            if sign:
                canvas.write(figure, x + GAP / 2, top + height / 2, sign, canvas.LARGE, canvas.FAINT, "center")
            x += GAP
    return figure
