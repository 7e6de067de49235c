"""Render the report as one HTML file that contains its styles, its script and its plots, and loads nothing.

`page.html.j2` is the template. jinja2 escapes every text, so that the name of a run or an error cannot become markup.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from convline.formatting import count_text, duration, plural, setting_text, shortened, visible
from convline.reporting.configurations import Configuration, ReportTable
from convline.reporting.metric_text import interval_over_images, value_text, value_with_unit
from convline.reporting.plots import heatmap, hyperparameters, pareto
from convline.reporting.plots import learning_curves as curves
from convline.reporting.plots import parallel_coordinates as parallel
from convline.reporting.plots.style import FEW, FULL, HALF, Plot, Point, ranked_points
from convline.reporting.table import column_names, remarks, status_text, unfinished_reason

FOLDER = Path(__file__).parent
# Nothing may be fetched, whatever a run's name or error says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

SMALL = 3  # settings whose parallel coordinates fit into half the width
GUIDE = (
    "A dot or line is a configuration, the mean over its seeds; the best is orange.{few} "
    "Point at one to find it in every plot, click to see it in the table."
)
GUIDE_TO_SEEDS = " Small dots are single seeds, thin lines their standard deviation."


def page(tables: Sequence[ReportTable], title: str) -> str:
    """Render tables as an HTML page.

    Args:
        tables: report tables; each is one section of the page.
        title: folders that the report covers.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        title=visible(title),
        policy=POLICY,
        styles=(FOLDER / "page.css").read_text(),
        script=(FOLDER / "page.js").read_text(),
        summary=_summary(tables),
        sections=[_section(table, index) for index, table in enumerate(tables)],
        version=version("convline"),
        time=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    )


def _summary(tables: Sequence[ReportTable]) -> str:
    statuses = Counter(run.status for table in tables for row in table.rows for run in [*row.runs, *row.repeats])
    statuses.update(run.status for table in tables for run in table.unfinished)
    runs = [plural(statuses.total(), "run"), *(f"{count:,} {status}" for status, count in statuses.items())]
    num_data = sum(bool(table.rows) for table in tables)
    data = f" on {num_data} data sets" if num_data > 1 else ""
    configurations = plural(sum(len(table.rows) for table in tables), "configuration")
    return f"{configurations}{data} · {' · '.join(runs)}"


def _section(table: ReportTable, index: int) -> dict[str, Any]:
    prefix = f"t{index}r"
    points = ranked_points(table, prefix)
    has_seeds = len(points) <= FEW and any(len(point.values) > 1 for point in points)
    numeric = {0, *range(1 + len(table.columns), len(column_names(table)))}
    return {
        "title": table.title,
        "tiles": _tiles(table),
        "heads": [{"name": name, "is_numeric": column in numeric} for column, name in enumerate(column_names(table))],
        "rows": [_row(table, row, rank, prefix) for rank, row in enumerate(table.rows, 1)],
        "remarks": remarks(table),
        "guide": GUIDE.format(few=GUIDE_TO_SEEDS if has_seeds else ""),
        "plots": [_card(plot) for plot in _plots(table, points)],
        "unfinished_title": f"{plural(len(table.unfinished), 'run')} not finished",
        "unfinished": [
            {
                "status": run.status,
                "path": run.path_text,
                "folder": visible(f"{run.folder.parent.name}/{run.folder.name}"),
                "reason": shortened(unfinished_reason(run), 300),
            }
            for run in table.unfinished
        ],
    }


def _plots(table: ReportTable, points: list[Point]) -> list[Plot]:
    if not points:
        return []
    by_effect = hyperparameters.axes_by_effect(table, points)
    folders = dict.fromkeys(run.folder.parent for point in points for run in point.row.runs)
    importances = [plot for folder in folders if (plot := hyperparameters.importance(folder))]
    costs = pareto.against_costs(table, points)
    # Plots of half the page's width go side by side: where their number is odd, one of these is as wide as the page.
    is_odd, is_small = (len(importances) + len(costs)) % 2 == 1, len(by_effect) <= SMALL
    plots = [
        *hyperparameters.against_metric(table, points, by_effect, HALF if is_odd else FULL),
        heatmap.heat_map(table, points, by_effect, HALF if is_odd or is_small else FULL),
        *importances,
        parallel.parallel_coordinates(table, points, by_effect, HALF if is_small and not is_odd else FULL),
        curves.learning_curves(table, points),
        *costs,
    ]
    return [plot for plot in plots if plot is not None]


def _tiles(table: ReportTable) -> list[dict[str, str]]:
    if not table.rows:
        return []
    tiles = []
    if table.measured_rows:
        best = table.measured_rows[0]
        label = table.label(best) if table.columns else "one configuration"
        tiles.append(_tile(f"best {table.metric}", *_value_and_spread(best, table.metric), label))
        note = "of the checkpoints chosen by validation"
        if num_images := best.num_images(table.test_metric):
            mean = best.sample(table.test_metric).mean
            note += f"; 95 % on other images: {interval_over_images(mean, num_images)}"
        tiles.append(_tile(f"its {table.test_metric}", *_value_and_spread(best, table.test_metric), note))
    finished = sum(len(row.runs) for row in table.rows)
    seeds = max((len(row.runs) for row in table.rows), default=0)
    runs = f"{plural(finished, 'finished run')}, up to {plural(seeds, 'seed')} each"
    tiles.append(_tile("configurations", f"{len(table.rows):,}", "", runs))
    tiles.append(
        _tile(
            "test-set evaluations",
            f"{table.num_test_evaluations:,}",
            "",
            f"of {table.data}, by the test evaluation log of its runs",
        )
    )
    return tiles


def _tile(name: str, value: str, beside: str, below: str) -> dict[str, str]:
    return {"name": name, "value": value, "beside": beside, "below": shortened(below, 90)}


def _value_and_spread(row: Configuration, metric: str) -> tuple[str, str]:
    sample = row.sample(metric)
    spread = f"± {value_text(metric, sample.sd)} · {sample.n} seeds" if sample.n > 1 else plural(sample.n, "seed")
    return value_with_unit(metric, sample.mean), spread


def _row(table: ReportTable, row: Configuration, rank: int, prefix: str) -> dict[str, Any]:
    cells = [_cell(str(rank), rank)]
    for key in table.columns:
        value = row.value(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        cells.append(_cell(setting_text(value), value if is_number else None, is_numeric=False))
    for metric in (table.metric, table.test_metric):
        sample = row.sample(metric)
        spread = f"± {value_text(metric, sample.sd)} ({sample.n})" if sample.n > 1 else ""
        cells.append(_cell(value_text(metric, sample.mean), sample.mean, spread=spread))
    cells.append(_cell(status_text(row), len(row.runs)))
    for name, text in (("seconds", duration), ("parameters", count_text), ("macs", count_text)):
        cells.append(_cell(text(row.mean(name)), row.mean(name)))
    value = " ".join((table.metric, *_value_and_spread(row, table.metric)))
    return {"id": f"{prefix}{rank}", "tip": f"{rank}  {shortened(table.label(row), 160)}\n{value}", "cells": cells}


def _cell(text: str, value: float | None, is_numeric: bool = True, spread: str = "") -> dict[str, Any]:
    """Describe a table cell for the template: the script sorts by `value`; `full` is the text if it was shortened."""
    short = shortened(text, 48)
    return {
        "text": short,
        "full": text if short != text else "",
        "value": None if value is None or math.isnan(value) else repr(value),
        "is_numeric": is_numeric,
        "spread": spread,
    }


def _card(plot: Plot) -> dict[str, Any]:
    return {
        "size": {FULL: "full", HALF: "half"}.get(plot.width, "third"),
        "kind": plot.kind,
        "title": plot.title,
        "svg": plot.svg,
        "legend": plot.legend,
        "caption": plot.caption,
    }
