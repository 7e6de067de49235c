"""The forward and the backward pass through a convolution, in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from convline.figures import canvas
from convline.lessons.by_hand.backward import gradients
from convline.lessons.by_hand.correlation import correlate, numbers
from convline.lessons.by_hand.figures import matrix_table
from convline.lessons.by_hand.worked_examples import GUIDE_IMAGE, GUIDE_KERNEL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP, BETWEEN, WIDE = 44, 52, 360  # pixels above the tables, between them, and of all of them at least


def forward_backward(
    image: ArrayLike = GUIDE_IMAGE,
    kernel: ArrayLike = GUIDE_KERNEL,
    upstream: ArrayLike | None = None,
    stride: int = 1,
    padding: int = 0,
) -> Figure:
    """Above image, kernel and output; below the gradients of a loss with respect to each of them.

    Args:
        image, kernel, stride, padding: as of `correlate`, without channels.
        upstream: gradient of the loss with respect to the output; None: ones, for the loss is the sum of the output.
    Raises:
        ValueError: the shapes do not go together.
    """
    image, kernel = numbers(image), numbers(kernel)
    output = correlate(image, kernel, stride, padding)
    given = np.ones_like(output) if upstream is None else np.asarray(upstream)
    of_image, of_kernel = gradients(image, kernel, given, stride, padding)
    above = [(image, "image", "∗"), (kernel, "kernel", "="), (output, "output", "")]
    below = [(of_image, "∂loss/∂image", ""), (of_kernel, "∂loss/∂kernel", "←"), (given, "∂loss/∂output", "")]
    wide = sum(matrix_table.size(values)[0] for values, *_ in above) + 2 * BETWEEN
    high = max(matrix_table.size(values)[1] for values, *_ in above)
    figure = canvas.blank(max(wide, WIDE) + 32, TOP + 2 * high + 64)
    canvas.write(figure, 16, 10, "Forward, then backward", canvas.LARGE, bold=True)
    for row, tables in enumerate((above, below)):
        x, top = 16.0, TOP + row * (high + 32)
        for values, title, sign in tables:
            across, down = matrix_table.size(values)
            matrix_table.draw_matrix(figure, values, x, top + (high - down) / 2, title)
            x += across
            if sign:
                canvas.write(figure, x + BETWEEN / 2, top + high / 2, sign, canvas.LARGE, canvas.FAINT, "center")
            x += BETWEEN
    return figure
