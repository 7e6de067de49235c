"""Draw the metric against each setting, and the importance of settings in a search."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convline.records.files import RunFileError, read_record
from convline.reporting.configurations import ReportTable
from convline.reporting.plots.axes import Scale, effect, has_setting, make_scale, position
from convline.reporting.plots.scatter import clipped_note, metric_axes, scatter
from convline.reporting.plots.style import DOT, HALF, INK, THIRD, Plot, Point, as_svg, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_BARS = 12  # settings that are drawn, those with the largest effect
GOLDEN = (math.sqrt(5) - 1) / 2


def axes_by_effect(table: ReportTable, points: Sequence[Point]) -> list[Scale]:
    """Make a scale for each setting that varies, the one with the largest effect on the metric first."""
    scales = [axis for key in table.columns if (axis := make_scale(key, points))]
    return sorted(scales, key=lambda axis: -effect(axis, points).share)


def against_metric(
    table: ReportTable, points: Sequence[Point], by_effect: Sequence[Scale], width_alone: float
) -> list[Plot]:
    """Draw a plot for each setting; a single plot gets the width `width_alone`."""
    shown = by_effect[:MAX_BARS]
    # rows of three, but no plot alone in its row: the last ones are wider
    num_wide = {0: 0, 1: min(len(shown), 4), 2: 2}[len(shown) % 3]
    widths = [width_alone] if len(shown) == 1 else [THIRD] * (len(shown) - num_wide) + [HALF] * num_wide
    return [_plot_setting(table, points, axis, width) for axis, width in zip(shown, widths, strict=True)]


def _plot_setting(table: ReportTable, points: Sequence[Point], axis: Scale, width: float) -> Plot:
    shown = [point for point in points if has_setting(point, axis.key)]
    xs = [position(axis, point) for point in shown]
    with drawing(width, 236) as figure:
        axes = metric_axes(figure, points, table.metric)
        has_medians = False
        if axis.kind == "side by side":
            has_medians = _medians(axes, xs, shown)
            # dots of like values beside each other; the golden ratio spreads any number of them evenly
            xs = [
                x + 0.44 * ((GOLDEN * point.rank) % 1 - 0.5) * (len(shown) > 3)
                for x, point in zip(xs, shown, strict=True)
            ]
            axes.set_xlim(-0.5, len(axis.values) - 0.5)
        scatter(axes, xs, shown, table.metric)
        positions, labels = axis.ticks()
        is_long = sum(map(len, labels)) > 36
        axes.set_xticks(positions, labels, rotation=30 if is_long else 0, ha="right" if is_long else "center")
        axes.grid(axis="x", visible=axis.kind != "side by side")
        name = table.columns[axis.key]
        missing = len(points) - len(shown)
        caption = f"{axis.key}{', log scale' if axis.kind == 'log' else ''}"
        if missing:
            caption += f"; {missing} of {len(points)} configurations have none"
        found = effect(axis, points)
        if not math.isnan(found.low):
            interval = f"{100 * found.low:.0f} to {100 * found.high:.0f} %"
            caption += f"; explains {100 * found.share:.0f} % of the variance ({interval})"
        if has_medians:
            caption += "; gray bars: medians"
        caption += clipped_note(axes, shown)
        return Plot("setting", name, as_svg(figure, f"{name} against {table.metric}"), width, caption)


def _medians(axes: "Axes", xs: Sequence[float], shown: Sequence[Point]) -> bool:
    """Draw the median of each value that several configurations have, and return whether there is one."""
    has_medians = False
    for x in sorted(set(xs)):
        ys = [point.y for other, point in zip(xs, shown, strict=True) if other == x]
        if len(ys) > 1:
            median = statistics.median(ys)
            axes.plot([x - 0.32, x + 0.32], [median, median], color=INK, alpha=0.55, linewidth=1.4, zorder=2)
            has_medians = True
    return has_medians


def importance(folder: Path) -> Plot | None:
    """Draw the importance of each setting in a search, from `importance.json` in the folder of the sweep.

    Returns:
        The plot; None if the file, such as `{"optimizer.lr": 0.7, …}`, cannot be read.
    """
    try:
        content = read_record(folder / "importance.json")
        shares = {key: float(value) for key, value in content.items() if math.isfinite(value)}
    except (RunFileError, TypeError):
        return None
    return _bars(dict(sorted(shares.items(), key=lambda item: -item[1])[:MAX_BARS])) if shares else None


def _bars(shares: Mapping[str, float]) -> Plot:
    with drawing(HALF, max(220, 60 + 26 * len(shares))) as figure:
        axes = figure.add_subplot()
        positions = list(range(len(shares)))
        axes.barh(positions, list(shares.values()), color=DOT, height=0.62)
        for y, share in zip(positions, shares.values(), strict=True):
            axes.annotate(f"{share:.2f}", (share, y), (4, 0), textcoords="offset points", va="center", fontsize=10)
        axes.set_yticks(positions, list(shares))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 1.15 * max(max(shares.values()), 1e-9))
        axes.set_xlabel("share of the metric's variance")
        svg = as_svg(figure, "importance of each setting")
    return Plot("importance", "Importance", svg, HALF, "As the search estimated it over its trials.")
