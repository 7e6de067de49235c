"""Figures of a lesson's numbers: results in, matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convline.figures import canvas
from convline.lessons.results import Results
from convline.reporting.metric_text import is_share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRID = "#e5e7eb"


def of_a_run(name: str, results: Results, first_runs: Mapping[str, Path]) -> Figure:
    """One of the pictures of `convline.figures`, of the first run there is."""
    from convline.figures import by_name

    return by_name(name)(next(iter(first_runs.values())))


def bars_of_error(results: Results, labels: Sequence[str], title: str, metric: str = "test/acc") -> Figure:
    """A line for each configuration: its seeds as dots, the mean and its 95 % interval above them.

    Args:
        results: with these configurations; those that are not there are left out.
        labels: in order, from the top; an empty one leaves a gap.
        title: of the figure.
        metric: of the horizontal axis.
    """
    labels = [label for label in labels if not label or label in results.arms]
    left = 24 + max(canvas.text_width(label) for label in labels)
    figure = canvas.blank(left + 470, 96 + 20 * len(labels))
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    canvas.write(figure, 12, 30, "dots: seeds; line: 95 % interval of the mean", canvas.SMALL, canvas.FAINT)
    axes = canvas.axes_at(figure, left, 50, 440, 20 * len(labels))
    factor = 100 if is_share(metric) else 1
    for row, label in enumerate(labels):
        if not label:
            continue
        sample = results.arm(label).sample(metric)
        low, high = sample.interval
        axes.plot([factor * low, factor * high], [row, row], color=canvas.COLORS[0], linewidth=2)
        axes.plot(
            [factor * value for value in sample.values],
            [row] * sample.n,
            "o",
            color=canvas.COLORS[0],
            markersize=3.5,
            alpha=0.5,
            markeredgewidth=0,
        )
        axes.plot([factor * sample.mean], [row], "|", color=canvas.INK, markersize=11, markeredgewidth=1.8)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel(f"{'accuracy' if is_share(metric) else metric} on the test set, %", fontsize=canvas.NORMAL)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    return figure


def lines(
    series: Mapping[str, Sequence[Sequence[float]]],
    title: str,
    across: str,
    up: str,
    logarithmic: bool = False,
) -> Figure:
    """Curves with error bars.

    Args:
        series: by name: three sequences: places, heights, and half the length of the bars.
        title, across, up: of the figure and its axes.
        logarithmic: the horizontal axis.
    """
    below = 20 + 18 * len(series)
    figure = canvas.blank(560, 400 + below)
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    axes = canvas.axes_at(figure, 66, 44, 470, 300)
    for number, (x, y, half) in enumerate(series.values()):
        axes.errorbar(x, y, half, fmt="o-", color=canvas.COLORS[number % len(canvas.COLORS)], markersize=4, capsize=3)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel(across, fontsize=canvas.NORMAL)
    axes.set_ylabel(up, fontsize=canvas.NORMAL)
    axes.grid(color=GRID)
    for number, name in enumerate(series):
        canvas.write(figure, 66, 392 + 18 * number, f"●  {name}", color=canvas.COLORS[number % len(canvas.COLORS)])
    return figure


def epochs(results: Results, label: str, metric: str, published: Sequence[float], title: str) -> Figure:
    """A curve over the epochs, every seed of ours a thin line, against a published one.

    The heights of more than ten epochs are those from the third on: the first would leave no room for the rest.
    """
    figure = canvas.blank(520, 330)
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    axes = canvas.axes_at(figure, 76, 44, 420, 230)
    axes.plot(range(1, len(published) + 1), published, "s--", color=canvas.COLORS[1], markersize=5, label="published")
    ours = results.arm(label).curves.get(metric, ())
    for number, curve in enumerate(ours):
        axes.plot(
            range(1, len(curve) + 1),
            curve,
            ".-",
            color=canvas.COLORS[0],
            alpha=0.7,
            linewidth=1.2,
            label=None if number else "ours, a line a seed",
        )
    axes.set_xticks(range(1, len(published) + 1))
    later = [value for curve in (published, *ours) for value in curve[2:] if value == value]
    if len(published) > 10 and later:
        room = 0.1 * (max(later) - min(later))
        axes.set_ylim(min(later) - room, max(later) + room)
    axes.set_xlabel("epoch", fontsize=canvas.NORMAL)
    axes.set_ylabel(
        {"val/loss": "validation loss", "train/acc": "training accuracy"}.get(metric, metric), fontsize=canvas.NORMAL
    )
    axes.grid(color=GRID)
    axes.legend(fontsize=canvas.NORMAL, frameon=False)
    return figure


def heat(
    results: Results,
    title: str,
    panels: Sequence[tuple[str, Sequence[Sequence[str]]]],
    across: Sequence[str],
    up: Sequence[str],
    metric: str = "test/acc",
) -> Figure:
    """Mean accuracies as coloured squares.

    Args:
        results: with the configurations that panels name.
        title: of the figure.
        panels: a title each, and rows of labels.
        across, up: names of columns and rows.
    """
    import math

    side = 54
    width, height = side * len(across), side * len(up)
    figure = canvas.blank(70 + len(panels) * (width + 30), 110 + height)
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    means = [[[results.arm(label).sample(metric).mean for label in row] for row in rows] for _, rows in panels]
    known = [100 * value for panel in means for row in panel for value in row if not math.isnan(value)]
    low = sorted(known)[len(known) // 6] if known else 0.0  # colours for most, not for the few that learn little
    for place, ((heading, _), values) in enumerate(zip(panels, means, strict=True)):
        axes = canvas.axes_at(figure, 60 + place * (width + 30), 62, width, height)
        shown = [[100 * value for value in row] for row in values]
        axes.imshow(shown, vmin=low, vmax=max(known, default=1.0), cmap="viridis", aspect="auto")
        for y, row in enumerate(shown):
            for x, value in enumerate(row):
                dark = value < (low + max(known)) / 2
                failed = results.arm(panels[place][1][y][x]).num_failed
                text = "" if math.isnan(value) else f"{value:.1f}" + (f"\n{failed} failed" if failed else "")
                axes.text(x, y, text, ha="center", va="center", fontsize=canvas.NORMAL, color="w" if dark else "k")
        axes.set_title(heading, fontsize=canvas.NORMAL)
        axes.set_xticks(range(len(across)), across)
        axes.set_yticks(range(len(up)), up if place == 0 else [""] * len(up))
        axes.tick_params(length=0)
    return figure
