"""Draw learning curves: the metric after each epoch, with a band over the seeds."""

from collections.abc import Sequence

from convline.config.metrics import is_share
from convline.formatting import shortened
from convline.reporting.configurations import Configuration, ReportTable
from convline.reporting.metric_text import name_with_unit
from convline.reporting.plots.style import FULL, SERIES, Plot, Point, as_svg, drawing, robust_limits
from convline.reporting.statistics import Sample


def learning_curves(table: ReportTable, points: Sequence[Point]) -> Plot | None:
    """Draw `table.metric` by epoch for the best configurations, the first of `points`; None if no run has any epoch."""
    curves = [
        (point, samples_by_epoch)
        for point in points[: len(SERIES)]
        if (samples_by_epoch := curve(point.row, table.metric))
    ]
    if not curves:
        return None
    from matplotlib.ticker import MaxNLocator

    scale = 100 if is_share(table.metric) else 1
    legend = []
    with drawing(FULL, 320) as figure:
        axes = figure.add_subplot()
        longest = 0.0
        for color, (point, samples_by_epoch) in reversed(list(zip(SERIES, curves, strict=False))):
            epochs = list(samples_by_epoch)
            means = [scale * sample.mean for sample in samples_by_epoch.values()]
            (line,) = axes.plot(epochs, means, color=color, linewidth=1.8, zorder=3)
            line.set_url(f"#{point.anchor}")
            if len(epochs) == 1:
                axes.plot(epochs, means, "o", color=color)
            if all(sample.n > 1 for sample in samples_by_epoch.values()):
                spread = [scale * sample.sd for sample in samples_by_epoch.values()]
                lower = [m - s for m, s in zip(means, spread, strict=True)]
                upper = [m + s for m, s in zip(means, spread, strict=True)]
                axes.fill_between(epochs, lower, upper, color=color, alpha=0.16, linewidth=0)
            longest = max(longest, epochs[-1])
            legend.append((color, f"{point.rank}  {shortened(table.label(point.row), 90)}"))
        samples = [sample for _, samples_by_epoch in curves for sample in samples_by_epoch.values()]
        values = [scale * (s.mean + side * (s.sd if s.n > 1 else 0)) for s in samples for side in (-1, 0, 1)]
        axes.set_ylim(*robust_limits(values, table.metric))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))  # also for one epoch
        axes.margins(x=0.01)
        axes.set_ylabel(name_with_unit(table.metric))
        svg = as_svg(figure, f"learning curves: {table.metric} by epoch")
    selection = f"The best {len(curves)} of {len(points)} configurations. " if len(points) > len(curves) else ""
    bands = (
        "Bands: mean ± sample standard deviation over seeds."
        if any(p.row.sample(table.metric).n > 1 for p, _ in curves)
        else ""
    )
    return Plot("curves", "Learning curves", svg, FULL, f"{selection}{bands}".strip(), tuple(reversed(legend)))


def curve(row: Configuration, metric: str) -> dict[float, Sample]:
    """Collect the metric of all seeds by epoch, for the epochs that every seed has."""
    values_by_epoch = [{line["epoch"]: line[metric] for line in run.epochs if metric in line} for run in row.runs]
    values_by_epoch = [values for values in values_by_epoch if values]
    if not values_by_epoch:
        return {}
    common = set(values_by_epoch[0]).intersection(*values_by_epoch[1:])
    return {epoch: Sample(tuple(values[epoch] for values in values_by_epoch)) for epoch in sorted(common)}
