"""Draw the metric by two settings as a heatmap, with a cell for each pair of values."""

import itertools
import math
from collections.abc import Sequence

from convline.config.metrics import is_share
from convline.reporting.configurations import ReportTable
from convline.reporting.metric_text import name_with_unit
from convline.reporting.plots.axes import Scale, effect, has_setting, position
from convline.reporting.plots.style import HALF, INK, Plot, Point, as_svg, color_limits, colormap, drawing, is_beyond

MAX_VALUES = 12
BEYOND = "▼"  # marks a value that the colors do not tell apart from the worst that they show
COVERED = 0.6  # of the cells must hold a configuration, or it is no grid


def heat_map(table: ReportTable, points: Sequence[Point], by_effect: Sequence[Scale], width: float) -> Plot | None:
    """Draw the heatmap of the two settings with the largest effect whose values form a grid; None if no two do."""
    candidates = [axis for axis in by_effect if len(axis.values) <= MAX_VALUES]
    pairs = sorted(
        itertools.combinations(candidates, 2), key=lambda pair: -sum(effect(axis, points).share for axis in pair)
    )
    for first, second in pairs:
        cells = _cells(points, first, second)
        if len(cells) >= COVERED * len(first.values) * len(second.values) and len(cells) > 3:
            across, up = sorted((first, second), key=lambda axis: -len(axis.values))
            return _draw(table, across, up, _cells(points, across, up), width)
    return None


def _cells(points: Sequence[Point], across: Scale, up: Scale) -> dict[tuple[int, int], list[Point]]:
    """Group the configurations by the indices of their two values."""
    columns = {across.position(value): index for index, value in enumerate(across.values)}
    rows = {up.position(value): index for index, value in enumerate(up.values)}
    points_by_cell: dict[tuple[int, int], list[Point]] = {}
    for point in points:
        if has_setting(point, across.key) and has_setting(point, up.key):
            cell = columns[position(across, point)], rows[position(up, point)]
            points_by_cell.setdefault(cell, []).append(point)
    return points_by_cell


def _draw(
    table: ReportTable, across: Scale, up: Scale, cells: dict[tuple[int, int], list[Point]], width: float
) -> Plot:
    from matplotlib.patches import Rectangle

    means = {cell: math.fsum(point.y for point in points) / len(points) for cell, points in cells.items()}
    limits = color_limits(list(means.values()), table.metric)
    colors, norm = colormap(limits, table.metric)
    with drawing(width, max(250 if width == HALF else 190, 84 + 40 * len(up.values))) as figure:
        axes = figure.add_subplot()
        axes.set_xlim(-0.5, len(across.values) - 0.5)
        axes.set_ylim(-0.5, len(up.values) - 0.5)
        axes.grid(visible=False)
        for (x, y), mean in means.items():
            color = colors(norm(mean))
            cell = Rectangle((x - 0.485, y - 0.47), 0.97, 0.94, facecolor=color, linewidth=0)
            best = min(cells[x, y], key=lambda point: point.rank)
            cell.set_url(f"#{best.anchor}")
            axes.add_patch(cell)
            is_dark = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] < 0.55
            text = f"{mean:.2f}" if is_share(table.metric) else f"{mean:.3g}"
            text += f" {BEYOND}" if is_beyond(mean, limits) else ""
            axes.text(x, y, text, ha="center", va="center", color="white" if is_dark else INK, fontsize=10)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0)
        for axis, ticks, rule in ((across, axes.set_xticks, "x"), (up, axes.set_yticks, "y")):
            side_by_side = Scale(axis.key, axis.values, "side by side")
            ticks(*side_by_side.ticks(), rotation=30 if rule == "x" and _is_long(side_by_side) else 0)
        axes.set_xlabel(table.columns[across.key])
        axes.set_ylabel(table.columns[up.key])
        title = f"{table.columns[across.key]} × {table.columns[up.key]}"
        svg = as_svg(figure, f"{name_with_unit(table.metric)} by {title}")
    max_count = max(map(len, cells.values()))
    note = f", mean over up to {max_count} configurations that differ in other settings" if max_count > 1 else ""
    caption = f"{name_with_unit(table.metric)}{note}. The better, the darker."
    if num := sum(is_beyond(mean, limits) for mean in means.values()):
        caption += f" {BEYOND}: {num} worse than the colors show."
    return Plot("interaction", title, svg, width, caption)


def _is_long(axis: Scale) -> bool:
    return sum(map(len, axis.ticks()[1])) > 60
