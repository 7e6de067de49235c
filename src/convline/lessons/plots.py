"""Plot the results of a lesson.

Each function imports the canvas, since its import imports torch, which a list of lessons does not need.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convline.config.metrics import is_share
from convline.lessons.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRID = "#e5e7eb"
AXIS_LABELS = {"val/loss": "validation loss", "train/acc": "training accuracy"}


def run_figure(name: str, results: Results, first_runs: Mapping[str, Path]) -> Figure:
    """Draw a figure of `convline.figures`, given its name, for the first run of the lesson."""
    from convline.figures import by_name

    return by_name(name)(next(iter(first_runs.values())))


def confidence_intervals(results: Results, labels: Sequence[str], title: str, metric: str = "test/acc") -> Figure:
    """Plot one row per configuration: its seeds as dots, their mean and its 95 % confidence interval.

    Args:
        results: results that hold these configurations; missing ones are left out.
        labels: labels from top to bottom; an empty one leaves a gap.
        title: title of the figure.
        metric: metric of the horizontal axis.
    """
    from convline.figures import canvas

    labels = [label for label in labels if not label or label in results.configurations]
    left = 24 + max(canvas.text_width(label) for label in labels)
    figure = canvas.blank(left + 470, 96 + 20 * len(labels))
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    canvas.write(figure, 12, 30, "dots: seeds; line: 95 % interval of the mean", canvas.SMALL, canvas.FAINT)
    axes = canvas.axes_at(figure, left, 50, 440, 20 * len(labels))
    scale = 100 if is_share(metric) else 1
    color = canvas.COLORS[0]
    for row, label in enumerate(labels):
        if not label:
            continue
        sample = results.configuration(label).sample(metric)
        low, high = sample.interval
        axes.plot([scale * low, scale * high], [row, row], color=color, linewidth=2)
        values = [scale * value for value in sample.values]
        axes.plot(values, [row] * sample.n, "o", color=color, markersize=3.5, alpha=0.5, markeredgewidth=0)
        axes.plot([scale * sample.mean], [row], "|", color=canvas.INK, markersize=11, markeredgewidth=1.8)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel(f"{'accuracy' if is_share(metric) else metric} on the test set, %", fontsize=canvas.NORMAL)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    return figure


def error_bar_curves(
    series: Mapping[str, Sequence[Sequence[float]]],
    title: str,
    x_label: str,
    y_label: str,
    logarithmic: bool = False,
) -> Figure:
    """Plot curves with error bars.

    Args:
        series: for each name three sequences: x, y, and half the length of the error bars.
        title, x_label, y_label: texts of the figure and of its axes.
        logarithmic: whether the horizontal axis is logarithmic.
    """
    from convline.figures import canvas

    figure = canvas.blank(560, 420 + 18 * len(series))
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    axes = canvas.axes_at(figure, 66, 44, 470, 300)
    for index, (name, (x, y, half)) in enumerate(series.items()):
        color = canvas.COLORS[index % len(canvas.COLORS)]
        axes.errorbar(x, y, half, fmt="o-", color=color, markersize=4, capsize=3)
        canvas.write(figure, 66, 392 + 18 * index, f"●  {name}", color=color)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel(x_label, fontsize=canvas.NORMAL)
    axes.set_ylabel(y_label, fontsize=canvas.NORMAL)
    axes.grid(color=GRID)
    return figure


def learning_curves(results: Results, label: str, metric: str, published: Sequence[float], title: str) -> Figure:
    """Plot a metric over epochs: one thin line per seed, against the published values.

    With more than ten epochs, the vertical axis covers the epochs from the third on only: values of the first
    ones would compress the others.

    Args:
        results, label: results and the configuration in them.
        metric: metric with a curve.
        published: value of each epoch; nan where none was published.
        title: title of the figure.
    """
    from convline.figures import canvas

    figure = canvas.blank(520, 330)
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    axes = canvas.axes_at(figure, 76, 44, 420, 230)
    axes.plot(range(1, len(published) + 1), published, "s--", color=canvas.COLORS[1], markersize=5, label="published")
    curves = results.configuration(label).curves.get(metric, ())
    for index, curve in enumerate(curves):
        name = None if index else "ours, a line a seed"  # one entry of the legend for all lines
        x = range(1, len(curve) + 1)
        axes.plot(x, curve, ".-", color=canvas.COLORS[0], alpha=0.7, linewidth=1.2, label=name)
    axes.set_xticks(range(1, len(published) + 1))
    later = [value for curve in (published, *curves) for value in curve[2:] if not math.isnan(value)]
    if len(published) > 10 and later:
        margin = 0.1 * (max(later) - min(later))
        axes.set_ylim(min(later) - margin, max(later) + margin)
    axes.set_xlabel("epoch", fontsize=canvas.NORMAL)
    axes.set_ylabel(AXIS_LABELS.get(metric, metric), fontsize=canvas.NORMAL)
    axes.grid(color=GRID)
    axes.legend(fontsize=canvas.NORMAL, frameon=False)
    return figure


def heatmaps(
    results: Results,
    title: str,
    panels: Sequence[tuple[str, Sequence[Sequence[str]]]],
    column_names: Sequence[str],
    row_names: Sequence[str],
    metric: str = "test/acc",
) -> Figure:
    """Plot mean accuracies as heatmaps side by side.

    Args:
        results: results that hold the configurations of the panels.
        title: title of the figure.
        panels: for each heatmap its title and the labels of its cells, row by row.
        column_names, row_names: names of columns and rows.
        metric: accuracy to show.
    """
    from convline.figures import canvas

    side = 54  # pixels of a cell
    width, height = side * len(column_names), side * len(row_names)
    figure = canvas.blank(70 + len(panels) * (width + 30), 110 + height)
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    cells = [[[results.configuration(label) for label in row] for row in labels] for _, labels in panels]
    means = [[[100 * cell.sample(metric).mean for cell in row] for row in panel] for panel in cells]
    known = sorted(value for panel in means for row in panel for value in row if not math.isnan(value))
    # the color scale begins at the lowest sixth: the few networks that learn little would take all colors
    low, high = (known[len(known) // 6], known[-1]) if known else (0.0, 1.0)
    for index, (heading, _) in enumerate(panels):
        axes = canvas.axes_at(figure, 60 + index * (width + 30), 62, width, height)
        axes.imshow(means[index], vmin=low, vmax=high, cmap="viridis", aspect="auto")
        for y, row in enumerate(means[index]):
            for x, value in enumerate(row):
                failed = cells[index][y][x].num_failed
                text = "" if math.isnan(value) else f"{value:.1f}" + (f"\n{failed} failed" if failed else "")
                ink = "w" if value < (low + high) / 2 else "k"  # white on dark cells
                axes.text(x, y, text, ha="center", va="center", fontsize=canvas.NORMAL, color=ink)
        axes.set_title(heading, fontsize=canvas.NORMAL)
        axes.set_xticks(range(len(column_names)), column_names)
        axes.set_yticks(range(len(row_names)), row_names if index == 0 else [""] * len(row_names))
        axes.tick_params(length=0)
    return figure
