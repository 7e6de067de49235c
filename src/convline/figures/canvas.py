"""What all figures have in common: size, colors, fonts, and how they become a file.

Notable choices:
- Figures are objects of matplotlib without pyplot: no global state, no window, nothing to close.
- Margins are set by hand: matplotlib's layout engines draw everything several times to find them, which would be most
  of a figure's cost.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # imported inside functions: it takes a third of a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
CORRECT, INCORRECT = "#1f5fbf", "#c62828"  # of predictions
COLORS = ("#1f5fbf", "#e8590c", "#2f855a", "#8e44ad", "#0f8b8d", "#b7791f")  # of lines side by side
INK, FAINT = "#1f2937", "#6b7280"
SMALL, NORMAL, LARGE = 7.5, 9.0, 11.0  # points
NARROW, WIDE = frozenset("fijlrtI.,:;|!'()[] "), frozenset("mwMW%@")  # letters of the font
SPLIT_NAMES = {"val": "validation", "test": "test"}  # in words
Pixels = NDArray[np.uint8]  # height × width × 3


def blank(width: float, height: float) -> Figure:
    """An empty white figure of so many pixels."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    figure.lines.append(Line2D([], [], figure=figure))  # IPython shows no figure that has neither axes nor lines
    return figure


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose box lies so many pixels from the figure's left and upper edge."""
    whole_width, whole_height = figure.get_size_inches() * DPI
    box = (left / whole_width, 1 - (top + height) / whole_height, width / whole_width, height / whole_height)
    axes = figure.add_axes(box)
    axes.tick_params(labelsize=NORMAL, color=FAINT, labelcolor=INK, length=3)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    return axes


def paste(figure: Figure, pixels: Pixels, left: float, top: float) -> None:
    """Put an image on the figure, pixel by pixel, so far from its left and upper edge."""
    from convline.figures.pasted import Pasted

    figure.add_artist(Pasted(figure, pixels, left, top))


def write(
    figure: Figure,
    left: float,
    top: float,
    text: str,
    size: float = NORMAL,
    color: str = INK,
    align: str = "left",
    bold: bool = False,
) -> None:
    """Write a line whose upper edge lies so many pixels from the figure's upper edge, aligned at `left`."""
    whole_width, whole_height = figure.get_size_inches() * DPI
    weight = "bold" if bold else "normal"
    figure.text(left / whole_width, 1 - (top + size * DPI / 72) / whole_height, text, fontsize=size,
                color=color, ha=align, va="baseline", weight=weight, parse_math=False)  # fmt: skip


def text_width(text: str, size: float = NORMAL, bold: bool = False) -> float:
    """About how many pixels a line of text takes: measuring it would mean laying it out."""
    ems = sum(0.36 if char in NARROW else 1.02 if char in WIDE else 0.64 for char in text)
    return ems * size * DPI / 72 * (1.1 if bold else 1)


def shortened(text: str, width: float, size: float = NORMAL) -> str:
    """The text, or as much of its beginning as fits into so many pixels, with an ellipsis."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text}…"


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, without the channel of transparency that `savefig` would add."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    agg = FigureCanvasAgg(figure)
    agg.draw()
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(agg.buffer_rgba())[..., :3]).save(buffer, format="png", compress_level=4)
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as an SVG file, its text as text."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "convline"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
