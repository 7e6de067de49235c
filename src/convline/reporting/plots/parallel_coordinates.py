"""Draw all settings in one plot, with an axis for each setting and a line for each configuration."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convline.reporting.configurations import ReportTable
from convline.reporting.metric_text import name_with_unit
from convline.reporting.plots.axes import Scale, has_setting, position
from convline.reporting.plots.style import (
    BEST,
    FULL,
    INK,
    Plot,
    Point,
    as_svg,
    color_limits,
    colormap,
    drawing,
    is_beyond,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_AXES = 9
MISSING = -0.07  # where a line goes that has no such setting: below the axis


def parallel_coordinates(
    table: ReportTable, points: Sequence[Point], by_effect: Sequence[Scale], width: float
) -> Plot | None:
    """Draw a line through the values of each configuration, with the metric on the last axis.

    Returns:
        The plot; None for fewer than two settings or three configurations.
    """
    # Lines between neighboring axes are the only relation that this plot shows, so the strongest setting stands
    # next to the metric.
    axes_shown = list(by_effect[:MAX_AXES])[::-1]
    if len(axes_shown) < 2 or len(points) < 3:
        return None
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    ys = [point.y for point in points]
    thickness = 1.3 if len(points) <= 100 else 0.8
    low, high = limits = color_limits(ys, table.metric)
    colors, norm = colormap(limits, table.metric)
    with drawing(width, 330 if width == FULL else 290) as figure:
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_xlim(-0.35, len(axes_shown) + 0.35)
        axes.set_ylim(-0.12, 1.12)
        for point in reversed(points):  # the best is drawn last, on top of the others
            heights = [_height(axis, point) for axis in axes_shown]
            heights.append(min(max((point.y - low) / (high - low), 0.0), 1.0))
            # Bézier curves with level ends cross each axis at a right angle, so that a line can be followed through it.
            vertices, codes = [(0.0, heights[0])], [Path.MOVETO]
            for x, (left, right) in enumerate(itertools.pairwise(heights)):
                vertices += [(x + 0.5, left), (x + 0.5, right), (x + 1.0, right)]
                codes += [Path.CURVE4] * 3
            is_best = point.rank == 1
            line = PathPatch(
                Path(vertices, codes),
                fill=False,
                edgecolor=BEST if is_best else colors(norm(point.y)),
                linewidth=2.4 if is_best else thickness,
                linestyle="--" if is_beyond(point.y, limits) else "-",
                alpha=1 if is_best else 0.75 if len(points) <= 100 else 0.4,
            )
            line.set_url(f"#{point.anchor}")
            axes.add_patch(line)
        for x, axis in enumerate(axes_shown):
            positions, labels = axis.ticks()
            name = table.columns[axis.key] + (" (log)" if axis.kind == "log" else "")
            _draw_axis(axes, x, name, [_share(axis, p) for p in positions], labels)
        marks = _round_marks(low, high)
        _draw_axis(
            axes,
            len(axes_shown),
            name_with_unit(table.metric),
            [(m - low) / (high - low) for m in marks],
            [f"{m:g}" for m in marks],
        )
        svg = as_svg(figure, f"parallel coordinates of all settings and {table.metric}")
    caption = "A line is a configuration: the darker, the better; the best in orange."
    if any(not has_setting(point, axis.key) for point in points for axis in axes_shown):
        caption += " A line that passes below an axis has no such setting."
    if num := sum(is_beyond(y, limits) for y in ys):
        caption += f" Dashed: {num} worse than the axis of the metric shows."
    return Plot("parallel", "All settings together", svg, width, caption)


def _height(axis: Scale, point: Point) -> float:
    return _share(axis, position(axis, point)) if has_setting(point, axis.key) else MISSING


def _share(axis: Scale, position: float) -> float:
    """Scale a position on an axis to 0 for the lowest value and 1 for the highest."""
    low, high = (axis.position(axis.values[end]) for end in (0, -1))
    return (position - low) / (high - low)


def _round_marks(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    return [float(mark) for mark in MaxNLocator(5).tick_values(low, high) if low <= mark <= high]


def _draw_axis(axes: "Axes", x: int, name: str, heights: Sequence[float], labels: Sequence[str]) -> None:
    axes.plot([x, x], [0, 1], color=INK, linewidth=1, zorder=4)
    axes.text(x, 1.055, name, ha="center", va="bottom", fontsize=11, fontweight="bold")
    for height, label in zip(heights, labels, strict=True):
        axes.plot([x - 0.012, x + 0.012], [height, height], color=INK, linewidth=1, zorder=4)
        box = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1.2}
        axes.text(x + 0.025, height, label, ha="left", va="center", fontsize=10, bbox=box, zorder=5)
