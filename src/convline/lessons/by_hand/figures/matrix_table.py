"""Draw a matrix as a table of square cells with its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convline.figures import canvas
from convline.lessons.by_hand.correlation import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 34  # pixels of a cell
WHITE, WINDOW, PADDING = "#ffffff", "#dbe7fb", "#f0f1f3"  # background colors: plain, in the window, padding
TITLE = 20  # pixels of a title above a table


def draw_matrix(
    figure: Figure,
    values: Array,
    left: float,
    top: float,
    title: str = "",
    backgrounds: NDArray[np.str_] | None = None,
    framed: tuple[int, int, int, int] | None = None,
    side: float = SIDE,
) -> None:
    """Draw a matrix with its numbers; zeros are gray.

    Args:
        figure: figure to draw into.
        values: rows×columns.
        left, top: position in pixels; with a title, the cells begin `TITLE` pixels below it.
        title: text above the table.
        backgrounds: color of each cell; None: white.
        framed: first row, first column, rows and columns of the cells that get a thick frame.
        side: pixels of a cell.
    """
    from matplotlib.patches import Rectangle

    rows, columns = values.shape
    if title:
        canvas.write(figure, left, top, title)
        top += TITLE
    axes = canvas.axes_at(
        figure, left - 1.5, top - 1.5, columns * side + 3, rows * side + 3
    )  # a frame is 3 pixels wide
    axes.set_axis_off()
    margin = 1.5 / side
    axes.set(xlim=(-margin, columns + margin), ylim=(rows + margin, -margin))
    for (row, column), value in np.ndenumerate(values):
        color = WHITE if backgrounds is None else str(backgrounds[row, column])
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=color, edgecolor="#c9ced6", linewidth=0.8))
        text = format_number(value)
        size = canvas.NORMAL if len(text) < 4 else canvas.SMALL
        ink = canvas.INK if value else "#a3a9b4"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=size * side / SIDE, color=ink)
    if framed:
        row, column, height, width = framed
        axes.add_patch(Rectangle((column, row), width, height, fill=False, edgecolor=canvas.CORRECT, linewidth=2))


def format_number(value: float) -> str:
    """Format a number with a minus sign "−", and with two decimals unless it is an integer."""
    text = f"{int(value)}" if float(value).is_integer() else f"{value:.2f}"
    return text.replace("-", "−")


def table_size(values: Array, side: float = SIDE) -> tuple[float, float]:
    """Compute width and height, in pixels, of a table with a title."""
    return values.shape[1] * side, values.shape[0] * side + TITLE
