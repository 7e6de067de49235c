"""Draw the metric against parameters and time, with the Pareto front."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convline.config.metrics import lower_is_better
from convline.formatting import count_text, duration
from convline.reporting.configurations import ReportTable
from convline.reporting.plots.axes import spreads_over_decades
from convline.reporting.plots.scatter import clipped_note, metric_axes, scatter
from convline.reporting.plots.style import BEST, HALF, INK, Plot, Point, as_svg, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COSTS = {"parameters": "parameters", "seconds": "seconds of training and test"}


def against_costs(table: ReportTable, points: Sequence[Point]) -> list[Plot]:
    """Draw the metric against each cost that differs between the configurations."""
    plots = []
    for cost, name in COSTS.items():
        shown = [point for point in points if point.row.mean(cost) > 0]
        if len({point.row.mean(cost) for point in shown}) > 1:
            plots.append(_plot_cost(table, shown, cost, name))
    return plots


def pareto_front(costs: Sequence[float], values: Sequence[float], lower: bool) -> list[int]:
    """Find the points of the Pareto front: no other point is as good in both cost and value and better in one.

    Args:
        costs: cost of each point; lower is better.
        values: metric of each point.
        lower: whether a lower value is better.
    Returns:
        Indices of the points, the cheapest first.
    """
    sign = 1 if lower else -1
    order = sorted(range(len(costs)), key=lambda i: (costs[i], sign * values[i]))
    indices: list[int] = []
    for index in order:
        if not indices or sign * values[index] < sign * values[indices[-1]]:
            indices.append(index)
    return indices


def _plot_cost(table: ReportTable, shown: Sequence[Point], cost: str, name: str) -> Plot:
    xs = [point.row.mean(cost) for point in shown]
    is_log = spreads_over_decades(sorted(xs))
    best = pareto_front(xs, [point.y for point in shown], lower_is_better(table.metric))
    with drawing(HALF, 290) as figure:
        axes = metric_axes(figure, shown, table.metric)
        if is_log:
            axes.set_xscale("log")
        axes.margins(x=0.09)
        # a front of a single point would set limits of no width, which matplotlib warns of
        axes.update_datalim([(x, point.y) for x, point in zip(xs, shown, strict=True)])
        steps_x = [xs[i] for i in best]
        steps_y = [shown[i].y for i in best]
        axes.step(steps_x, steps_y, where="post", color=BEST, alpha=0.55, linewidth=1.5, zorder=2)
        scatter(axes, xs, shown, table.metric)
        for index in _spread_out(best, xs, [point.y for point in shown], axes):
            point = shown[index]
            axes.annotate(
                str(point.rank), (xs[index], point.y), (-5, 5), textcoords="offset points",
                fontsize=10, color=INK, ha="right", va="bottom",
            )  # fmt: skip
        _ticks(axes, cost, is_log)
        axes.set_xlabel(f"{name}{' (log scale)' if is_log else ''}")
        note = clipped_note(axes, shown)
        svg = as_svg(figure, f"{table.metric} against {name}, with the Pareto front")
    title = f"{table.metric} against {'time' if cost == 'seconds' else cost}"
    format_cost = duration if cost == "seconds" else count_text
    lowest_cost = format_cost(shown[best[0]].row.mean(cost))
    caption = f"Numbers are ranks along the Pareto front, which begins at {lowest_cost}{note}."
    return Plot("pareto", title, svg, HALF, caption)


def _spread_out(best: Sequence[int], xs: Sequence[float], ys: Sequence[float], axes: "Axes") -> list[int]:
    """Select points of the front, the best first, whose rank labels do not overlap."""
    axes.autoscale_view()  # else the limits are found when it is drawn
    labeled: list[tuple[int, float, float]] = []
    for index in reversed(best):
        x, y = axes.transAxes.inverted().transform(axes.transData.transform((xs[index], ys[index])))
        if all(abs(x - other_x) > 0.08 or abs(y - other_y) > 0.07 for _, other_x, other_y in labeled):
            labeled.append((index, x, y))
    return [index for index, _, _ in labeled]


def _ticks(axes: "Axes", cost: str, is_log: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if is_log:
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if math.log10(high / low) < 2.5 else (1.0,)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: count_text(x) if cost == "parameters" else f"{x:g}"))
