"""Draw on matplotlib figures in pixels: blank figures, texts, axes and images at given positions, and files.

Notable choices:
- Figures are created without pyplot: no global state, no window, nothing to close.
- Positions are in pixels and no layout engine is used: `layout="constrained"` draws a figure twice (40 to 90 % more
  time for these figures), and it arranges axes, while most of what is drawn here are images and texts without axes.
- Images are put on the figure by an artist of our own. `imshow` resamples them and needs axes, which take as long
  again. `Figure.figimage` is right only at the figure's own resolution: at another DPI its pixels are neither scaled
  nor moved, and they are wrong with `bbox_inches="tight"`, which notebooks use. The tests of this module try each case.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

import numpy as np
from numpy.typing import NDArray

from convline.figures.fonts import families

if TYPE_CHECKING:  # matplotlib is imported inside functions: it takes a third of a second
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.figure import Figure

DPI = 100
CORRECT, INCORRECT = "#1f5fbf", "#c62828"  # colors of predictions
COLORS = ("#1f5fbf", "#e8590c", "#2f855a", "#8e44ad", "#0f8b8d", "#b7791f")  # colors of curves
INK, FAINT = "#1f2937", "#6b7280"
SMALL, NORMAL, LARGE = 7.5, 9.0, 11.0  # points
NARROW, WIDE = frozenset("fijlrtI.,:;|!'()[] "), frozenset("mwMW%@")  # characters of the font
SPLIT_NAMES = {"val": "validation", "test": "test"}  # in captions
Pixels = NDArray[np.uint8]  # height × width × 3


def blank(width: float, height: float) -> Figure:
    """Make an empty white figure; width and height are in pixels."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    figure.lines.append(Line2D([], [], figure=figure))  # IPython does not display a figure without axes and lines
    return figure


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes; the position of their box is in pixels from the figure's left and upper edge."""
    whole_width, whole_height = figure.get_size_inches() * DPI
    box = (left / whole_width, 1 - (top + height) / whole_height, width / whole_width, height / whole_height)
    axes = figure.add_axes(box)
    axes.tick_params(labelsize=NORMAL, color=FAINT, labelcolor=INK, length=3)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    return axes


def paste(figure: Figure, pixels: Pixels, left: float, top: float) -> None:
    """Put an image on the figure pixel by pixel; its position is in pixels from the figure's left and upper edge."""
    figure.add_artist(_pasted_image()(figure, pixels, left, top))


@cache
def _pasted_image() -> Callable[[Figure, Pixels, float, float], Artist]:
    """Define the artist when it is first needed, since its base class is matplotlib's."""
    from matplotlib.artist import Artist
    from matplotlib.transforms import Bbox

    class PastedImage(Artist):
        """Draw an image whose pixels are the figure's own at its own resolution, and nearest neighbors at others."""

        def __init__(self, figure: Figure, pixels: Pixels, left: float, top: float) -> None:
            super().__init__()
            opaque = np.full_like(pixels[..., :1], 255)
            self._pixels = np.concatenate([pixels, opaque], axis=2)[::-1]  # renderers count rows from below
            self._dpi = figure.dpi
            width, height = figure.get_size_inches() * figure.dpi
            self._corner = left / width, 1 - (top + len(pixels)) / height

        def get_window_extent(self, renderer: RendererBase | None = None) -> Bbox:
            """Return the image's box; `bbox_inches="tight"` needs it."""
            figure = self.get_figure(root=True)
            assert figure is not None
            # savefig changes the figure's DPI while it draws
            height, width = (size * figure.dpi / self._dpi for size in self._pixels.shape[:2])
            left, bottom = figure.transFigure.transform(self._corner)
            return Bbox.from_bounds(left, bottom, width, height)

        def draw(self, renderer: RendererBase) -> None:
            """Draw the image, repeating pixels where the renderer's resolution is higher."""
            box, scale = self.get_window_extent(), renderer.get_image_magnification()  # SVG: 72 units an inch
            rows, columns = (
                np.arange(round(size * scale)) * num_pixels // round(size * scale)
                for size, num_pixels in zip((box.height, box.width), self._pixels.shape[:2], strict=True)
            )
            context = renderer.new_gc()
            renderer.draw_image(context, box.x0, box.y0, np.ascontiguousarray(self._pixels[rows][:, columns]))
            context.restore()

    return PastedImage


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
    """Write a line of text; its upper edge is `top` pixels from the figure's, and it is aligned at `left` pixels."""
    whole_width, whole_height = figure.get_size_inches() * DPI
    weight = "bold" if bold else "normal"
    figure.text(left / whole_width, 1 - (top + size * DPI / 72) / whole_height, text, fontsize=size,
                color=color, ha=align, va="baseline", weight=weight, parse_math=False,
                family=families(text))  # fmt: skip


def text_width(text: str, size: float = NORMAL, bold: bool = False) -> float:
    """Estimate the width of a line of text in pixels, rather too wide; a measurement would need a layout engine."""
    ems = sum(0.36 if c in NARROW else 1.02 if c in WIDE or east_asian_width(c) in "WF" else 0.64 for c in text)
    return ems * size * DPI / 72 * (1.1 if bold else 1)


def shortened(text: str, width: float, size: float = NORMAL) -> str:
    """Cut a text to `width` pixels, with an ellipsis, if it is wider."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text}…"


def png(figure: Figure) -> bytes:
    """Render the figure as a PNG file, without the alpha channel that `savefig` would add."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    agg = FigureCanvasAgg(figure)
    agg.draw()
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(agg.buffer_rgba())[..., :3]).save(buffer, format="png", compress_level=4)
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Render the figure as an SVG file; its text stays text, and equal figures give equal bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "convline"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
