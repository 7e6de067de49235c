"""Define the style of the plots, and convert them to inline SVG whose marks link to the rows of the table."""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convline.config.metrics import is_share, lower_is_better
from convline.reporting.configurations import Configuration, ReportTable

if TYPE_CHECKING:  # takes half a second to import: only when a page is drawn
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

FEW = 24  # configurations whose single seeds are drawn
FULL, HALF, THIRD = 1040.0, 496.0, 314.0  # widths in pixels of the page's columns
INK, FAINT, LINE = "#1f2937", "#6b7280", "#e5e7eb"
DOT, BEST = "#3b76c4", "#e8590c"
COLORMAP = ("#dce8f5", "#93bde6", "#3f7fc6", "#12366b")  # worse to better
SERIES = ("#e8590c", "#2b6cb0", "#2f855a", "#8e44ad", "#b7791f", "#0f8b8d")
RC: dict[Any, Any] = {
    "text.parse_math": False,  # a dollar in a setting is a dollar
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "convline",  # the same page from the same runs
    "font.size": 11.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9ca3af",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
}


@dataclass(frozen=True)
class Plot:
    """Hold a plot as SVG, with its title, caption and legend.

    Args:
        kind: kind of the plot in one word, such as "pareto".
        title: title above the plot.
        svg: inline SVG.
        width: `FULL`, `HALF` or `THIRD`.
        caption: explanation below the plot.
        legend: color and label of each series.
    """

    kind: str
    title: str
    svg: str
    width: float
    caption: str = ""
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Point:
    """Hold a configuration and its metric, as plots show them; accuracies are in per cent.

    Args:
        row: the configuration.
        anchor: id of the configuration's table row on the page.
        rank: rank in the table; 1 is the best.
        y: mean of the metric over seeds.
        sd: sample standard deviation over seeds; nan for one seed.
        each: the figure of each seed.
    """

    row: Configuration
    anchor: str
    rank: int
    y: float
    sd: float
    values: tuple[float, ...]


def ranked_points(table: ReportTable, prefix: str) -> list[Point]:
    """Make a point of each row that has the metric, the best first; ids of rows on the page begin with `prefix`."""
    scale = 100 if is_share(table.metric) else 1
    samples = [row.sample(table.metric) for row in table.measured_rows]
    return [
        Point(
            row,
            f"{prefix}{rank}",
            rank,
            scale * sample.mean,
            scale * sample.sd,
            tuple(scale * v for v in sample.values),
        )
        for rank, (row, sample) in enumerate(zip(table.measured_rows, samples, strict=True), 1)
    ]


@contextlib.contextmanager
def drawing(width: float, height: float) -> Iterator["Figure"]:
    """Yield an empty figure of a size in pixels. The style applies within the block, which draws and calls `as_svg`."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC), warnings.catch_warnings():
        # the browser draws the text, with fonts of its own; matplotlib only measures it
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Figure(figsize=(width / 72, height / 72), layout="constrained")


def as_svg(figure: "Figure", title: str) -> str:
    """Convert a figure to inline SVG that fills its column.

    Unused ids are removed, since ids of several plots on one page could be equal.
    """
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"\n\s*", "\n", svg.replace(' target="_blank"', ""))  # a mark leads to a row of the same page
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: match.group() if match.group(1) in used else "", svg)
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def robust_limits(values: Sequence[float], metric: str) -> tuple[float, float]:
    """Compute the limits of an axis of metrics, without outliers among the worse values.

    Outliers are more than three interquartile ranges worse than the nearer quartile.
    """
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    quarter, three_quarters = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    reach = 3 * (three_quarters - quarter)
    if reach > 0 and lower_is_better(metric):
        high = max(value for value in ordered if value <= three_quarters + reach)
    elif reach > 0:
        low = min(value for value in ordered if value >= quarter - reach)
    return _with_margin(low, high)


def _with_margin(low: float, high: float) -> tuple[float, float]:
    margin = 0.06 * (high - low) or abs(high) * 0.01 or 0.01
    return low - margin, high + margin


def color_limits(values: Sequence[float], metric: str) -> tuple[float, float]:
    """Compute the range of values that colors tell apart: all of a few values, of many those without outliers."""
    return _with_margin(min(values), max(values)) if len(values) <= FEW else robust_limits(values, metric)


def is_beyond(value: float, limits: tuple[float, float]) -> bool:
    """Return whether a value is outside of limits; it is drawn as the limit is, and needs a mark."""
    return not limits[0] <= value <= limits[1]


def colormap(limits: tuple[float, float], metric: str) -> "tuple[Colormap, Normalize]":
    """Make a colormap and its normalization for values of a metric between limits; better values are darker."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    low, high = limits
    names = COLORMAP[::-1] if lower_is_better(metric) else COLORMAP
    return LinearSegmentedColormap.from_list("better", names), Normalize(low, high, clip=True)
