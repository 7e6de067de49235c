"""Draw configurations as dots, with the metric on the y axis and triangles for values beyond its limits."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convline.config.metrics import lower_is_better
from convline.reporting.metric_text import name_with_unit
from convline.reporting.plots.style import BEST, DOT, FAINT, FEW, Point, is_beyond, robust_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def metric_axes(figure: "Figure", points: Sequence[Point], metric: str) -> "Axes":
    """Add axes with the metric on y, whose limits are robust to outliers."""
    axes = figure.add_subplot()
    axes.set_ylim(*_limits(points, metric))
    axes.set_ylabel(name_with_unit(metric))
    return axes


def _limits(points: Sequence[Point], metric: str) -> tuple[float, float]:
    """Compute robust limits of all values that `scatter` draws."""
    values = [point.y for point in points]
    if len(points) <= FEW:
        values += [value for point in points for value in point.values]
        values += [point.y + side * point.sd for point in points for side in (-1, 1) if not math.isnan(point.sd)]
    return robust_limits(values, metric)


def scatter(axes: "Axes", xs: Sequence[float], points: Sequence[Point], metric: str) -> None:
    """Draw a dot for each configuration, the best in orange; values beyond the axis limits are triangles on the edge.

    For at most `FEW` configurations, bars show the standard deviation over seeds, and small dots the single seeds.
    """
    low, high = limits = axes.get_ylim()
    size = 44 if len(points) <= FEW else 26 if len(points) <= 100 else 14
    for x, point in zip(xs, points, strict=True) if len(points) <= FEW else ():
        if not math.isnan(point.sd) and not is_beyond(point.y, limits):
            color = BEST if point.rank == 1 else DOT
            axes.errorbar(x, point.y, point.sd, color=color, alpha=0.4, linewidth=1.4, fmt="none")
            axes.scatter([x] * len(point.values), point.values, s=12, color=color, alpha=0.35, linewidths=0)
    for is_off in (False, True):
        shown = [(x, p) for x, p in zip(xs, points, strict=True) if is_beyond(p.y, limits) == is_off]
        if not shown:
            continue
        dots = axes.scatter(
            [x for x, _ in shown],
            [min(max(p.y, low), high) for _, p in shown],
            s=32 if is_off else size,
            c=[FAINT if is_off else BEST if p.rank == 1 else DOT for _, p in shown],
            alpha=0.85,
            linewidths=0.6,
            edgecolors="white",
            marker=("v" if not lower_is_better(metric) else "^") if is_off else "o",
            clip_on=not is_off,
            zorder=3,
        )
        dots.set_urls([f"#{p.anchor}" for _, p in shown])


def clipped_note(axes: "Axes", points: Sequence[Point]) -> str:
    """Write a clause for the caption if configurations are beyond the axis limits."""
    num_clipped = sum(is_beyond(point.y, axes.get_ylim()) for point in points)
    return f"; triangles: {num_clipped} beyond the axis" if num_clipped else ""
