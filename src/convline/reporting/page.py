"""The report as one HTML file that needs no network: styles, script and plots are inside."""

import html
import math
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from convline.reporting.configurations import Configuration, Table
from convline.reporting.metric_text import count, duration, figure, plural, shortened, show, with_unit
from convline.reporting.plots import heatmap, hyperparameters, pareto
from convline.reporting.plots import learning_curves as curves
from convline.reporting.plots import parallel_coordinates as parallel
from convline.reporting.plots.style import FEW, FULL, HALF, Plot, Point, points
from convline.reporting.run_records import Run
from convline.reporting.table import heads, remarks, status_text, why

HERE = Path(__file__).parent
# Nothing may be fetched, whatever a run's name or error says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


SMALL = 3  # settings whose parallel coordinates fit into half the width
GUIDE = (
    "A dot or line is a configuration, the mean over its seeds; the best is orange; grey bars are medians.{few} "
    "Point at one to find it in every plot, click to see it in the table."
)
GUIDE_TO_SEEDS = " Small dots are single seeds, thin lines their standard deviation."


def page(tables: Sequence[Table], title: str) -> str:
    """The whole file.

    Args:
        tables: one section each.
        title: what is reported on.
    """
    escaped = html.escape(title)
    sections = "\n".join(_section(table, number) for number, table in enumerate(tables))
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<link rel="icon" href="data:,">
<title>{escaped}</title>
<style>
{(HERE / "page.css").read_text()}</style>
</head>
<body>
<main>
<header>
<h1>{escaped}</h1>
<p>{_summary(tables)}</p>
</header>
{sections}
<footer>Made by Convline {version("convline")}, {made}. Sorted and drawn by validation; the test set chooses nothing.
</footer>
</main>
<div id="tip" role="tooltip" hidden></div>
<script>
{(HERE / "page.js").read_text()}</script>
</body>
</html>
"""


def _summary(tables: Sequence[Table]) -> str:
    statuses = Counter(run.status for table in tables for row in table.rows for run in [*row.runs, *row.repeats])
    statuses.update(run.status for table in tables for run in table.unfinished)
    parts = [plural(statuses.total(), "run"), *(f"{number:,} {status}" for status, number in statuses.items())]
    num_data = sum(bool(table.rows) for table in tables)
    data = f" on {num_data} data sets" if num_data > 1 else ""
    configurations = plural(sum(len(table.rows) for table in tables), "configuration")
    return html.escape(f"{configurations}{data} · {' · '.join(parts)}")


def _section(table: Table, number: int) -> str:
    prefix = f"t{number}r"
    marked = points(table, prefix)
    cards = "\n".join(_card(plot) for plot in _plots(table, marked))
    has_seeds = len(marked) <= FEW and any(len(point.each) > 1 for point in marked)
    guide = GUIDE.format(few=GUIDE_TO_SEEDS if has_seeds else "")
    parts = [
        f"<section><h2>{html.escape(table.title)}</h2>",
        _tiles(table),
        _rows(table, prefix),
        "".join(f'<p class="remark">{html.escape(remark)}</p>' for remark in remarks(table)),
        f'<p class="remark guide">{guide}</p>\n<div class="cards">\n{cards}\n</div>' if cards else "",
        _unfinished(table),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _plots(table: Table, marked: list[Point]) -> list[Plot]:
    if not marked:
        return []
    by_effect = hyperparameters.axes_by_effect(table, marked)
    folders = dict.fromkeys(run.folder.parent for point in marked for run in point.row.runs)
    importances = [plot for folder in folders if (plot := hyperparameters.importance(folder))]
    costs = pareto.against_costs(table, marked)
    # Plots of half the page's width go side by side: where their number is odd, one of these is as wide as the page.
    is_odd, is_small = (len(importances) + len(costs)) % 2 == 1, len(by_effect) <= SMALL
    found = [
        *hyperparameters.against_metric(table, marked, by_effect, HALF if is_odd else FULL),
        heatmap.heat_map(table, marked, by_effect, HALF if is_odd or is_small else FULL),
        *importances,
        parallel.parallel_coordinates(table, marked, by_effect, HALF if is_small and not is_odd else FULL),
        curves.learning_curves(table, marked),
        *costs,
    ]
    return [plot for plot in found if plot is not None]


def _tiles(table: Table) -> str:
    if not table.rows:
        return ""
    tiles = []
    if table.measured:
        best = table.measured[0]
        label = table.label(best) if table.columns else "one configuration"
        tiles.append(_tile(f"best {table.metric}", *_large(best, table.metric), label))
        tiles.append(
            _tile(
                f"its {table.test_metric}", *_large(best, table.test_metric), "of the checkpoints chosen by validation"
            )
        )
    finished = sum(len(row.runs) for row in table.rows)
    seeds = max((len(row.runs) for row in table.rows), default=0)
    runs = f"{plural(finished, 'finished run')}, up to {plural(seeds, 'seed')} each"
    tiles.append(_tile("configurations", f"{len(table.rows):,}", "", runs))
    tiles.append(_tile("looks at the test set", f"{table.looks:,}", "", f"of {table.data}, by the ledger of its runs"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _large(row: Configuration, metric: str) -> tuple[str, str]:
    sample = row.sample(metric)
    spread = f"± {figure(metric, sample.sd)} · {sample.n} seeds" if sample.n > 1 else plural(sample.n, "seed")
    return with_unit(metric, sample.mean), spread


def _tile(name: str, value: str, beside: str, below: str) -> str:
    small = f" <small>{html.escape(beside)}</small>" if beside else ""
    return (
        f'<div class="tile"><h3>{html.escape(name)}</h3><p class="large">{html.escape(value)}{small}</p>'
        f"<p>{html.escape(shortened(below, 90))}</p></div>"
    )


def _rows(table: Table, prefix: str) -> str:
    if not table.rows:
        return ""
    names = heads(table)
    numeric = {0, *range(1 + len(table.columns), len(names))}
    head_cells = "".join(
        f'<th{" class=n" if index in numeric else ""}><button type="button">{html.escape(name)}</button></th>'
        for index, name in enumerate(names)
    )
    body = "\n".join(_row(table, row, rank, prefix) for rank, row in enumerate(table.rows, 1))
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{head_cells}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(table: Table, row: Configuration, rank: int, prefix: str) -> str:
    cells = [_cell(str(rank), rank)]
    for key in table.columns:
        value = row.value(key)
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        cells.append(_cell(show(value), number, numeric=False))
    cells += [_figure_cell(row, metric) for metric in (table.metric, table.test_metric)]
    cells.append(_cell(status_text(row), len(row.runs)))
    for name, text in (("seconds", duration), ("parameters", count), ("macs", count)):
        cells.append(_cell(text(row.mean(name)), row.mean(name)))
    value = " ".join((table.metric, *_large(row, table.metric)))
    tip = html.escape(f"{rank}  {shortened(table.label(row), 160)}\n{value}")
    return f'<tr id="{prefix}{rank}" data-tip="{tip}">{"".join(cells)}</tr>'


def _cell(text: str, number: float | None, numeric: bool = True) -> str:
    kind = ' class="n"' if numeric else ""
    value = "" if number is None or math.isnan(number) else f' data-v="{number!r}"'
    short = shortened(text, 48)
    title = f' title="{html.escape(text)}"' if short != text else ""
    return f"<td{kind}{value}{title}>{html.escape(short)}</td>"


def _figure_cell(row: Configuration, metric: str) -> str:
    sample = row.sample(metric)
    value = "" if math.isnan(sample.mean) else f' data-v="{sample.mean!r}"'
    spread = f" <small>± {figure(metric, sample.sd)} ({sample.n})</small>" if sample.n > 1 else ""
    return f'<td class="n"{value}>{figure(metric, sample.mean)}{spread}</td>'


def _card(plot: Plot) -> str:
    size = {FULL: "full", HALF: "half"}.get(plot.width, "third")
    legend = "".join(
        f'<li><span style="background:{colour}"></span>{html.escape(text)}</li>' for colour, text in plot.legend
    )
    return (
        f'<figure class="card {size}" data-kind="{plot.kind}"><h3>{html.escape(plot.title)}</h3>\n{plot.svg}'
        + (f"<ul class=legend>{legend}</ul>" if legend else "")
        + (f"<figcaption>{html.escape(plot.caption)}</figcaption>" if plot.caption else "")
        + "</figure>"
    )


def _unfinished(table: Table) -> str:
    if not table.unfinished:
        return ""
    lines = "\n".join(_unfinished_row(run) for run in table.unfinished)
    return (
        f"<h3>{plural(len(table.unfinished), 'run')} not finished</h3>\n"
        '<div class="scroll"><table class="unfinished"><thead>'
        "<tr><th>status</th><th>run</th><th>what is known</th></tr>"
        f"</thead><tbody>\n{lines}\n</tbody></table></div>"
    )


def _unfinished_row(run: Run) -> str:
    folder = html.escape(f"{run.folder.parent.name}/{run.folder.name}")
    full = html.escape(str(run.folder))
    return (
        f'<tr><td><span class="status {html.escape(run.status)}">{html.escape(run.status)}</span></td>'
        f'<td title="{full}">{folder}</td><td>{html.escape(shortened(why(run), 300))}</td></tr>'
    )
