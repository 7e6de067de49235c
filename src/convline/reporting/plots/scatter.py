"""Draw configurations as dots over the metric: the axis, the dots, and triangles for what is beyond it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convline.reporting.metric_text import head, lower_is_better
from convline.reporting.plots.style import BEST, DOT, FAINT, FEW, Point, robust_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def metric_axes(figure: "Figure", marked: Sequence[Point], metric: str) -> "Axes":
    """Add axes with the metric on y, within robust limits of everything that `scatter` draws."""
    axes = figure.add_subplot()
    axes.set_ylim(*_limits(marked, metric))
    axes.set_ylabel(head(metric))
    return axes


def _limits(marked: Sequence[Point], metric: str) -> tuple[float, float]:
    """Return robust limits of everything that `scatter` draws."""
    values = [point.y for point in marked]
    if len(marked) <= FEW:
        values += [value for point in marked for value in point.each]
        values += [point.y + side * point.sd for point in marked for side in (-1, 1) if not math.isnan(point.sd)]
    return robust_limits(values, metric)


def scatter(axes: "Axes", xs: Sequence[float], marked: Sequence[Point], metric: str) -> None:
    """Draw dots, the best in its own color; those beyond the axis become triangles on its edge.

    Where there are few, a bar shows the standard deviation over seeds, and faint dots the single seeds.
    """
    low, high = axes.get_ylim()
    size = 44 if len(marked) <= FEW else 26 if len(marked) <= 100 else 14
    for x, point in zip(xs, marked, strict=True) if len(marked) <= FEW else ():
        if not math.isnan(point.sd) and low <= point.y <= high:
            color = BEST if point.rank == 1 else DOT
            axes.errorbar(x, point.y, point.sd, color=color, alpha=0.4, linewidth=1.4, fmt="none")
            axes.scatter([x] * len(point.each), point.each, s=12, color=color, alpha=0.35, linewidths=0)
    for is_off in (False, True):
        kept = [(x, p) for x, p in zip(xs, marked, strict=True) if (not low <= p.y <= high) == is_off]
        if not kept:
            continue
        dots = axes.scatter(
            [x for x, _ in kept],
            [min(max(p.y, low), high) for _, p in kept],
            s=32 if is_off else size,
            c=[FAINT if is_off else BEST if p.rank == 1 else DOT for _, p in kept],
            alpha=0.85,
            linewidths=0.6,
            edgecolors="white",
            marker=("v" if not lower_is_better(metric) else "^") if is_off else "o",
            clip_on=not is_off,
            zorder=3,
        )
        dots.set_urls([f"#{p.anchor}" for _, p in kept])


def clipped_note(axes: "Axes", marked: Sequence[Point]) -> str:
    """Return a clause for the caption if some configurations are beyond the axis."""
    low, high = axes.get_ylim()
    number = sum(not low <= point.y <= high for point in marked)
    return f"; triangles: {number} beyond the axis" if number else ""
