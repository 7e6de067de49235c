"""Write tables as CSV and Markdown."""

import csv
import io
import math
from collections.abc import Sequence

from convline.formatting import shortened
from convline.reporting.configurations import Configuration, ReportTable
from convline.reporting.table import cells, heads, remarks, why


def as_csv(tables: Sequence[ReportTable]) -> str:
    """Return one line for each configuration, in full precision.

    Each metric has its mean, sample standard deviation, number of seeds and 95 % confidence interval of the mean.
    """
    keys = list(dict.fromkeys(key for table in tables for key in table.columns))
    metrics = sorted({m for table in tables for row in table.rows for run in row.runs for m in run.metrics})
    columns = ["data", "rank", *keys, "seeds"]
    columns += [f"{metric}{part}" for metric in metrics for part in ("", " sd", " n", " low", " high")]
    columns += ["seconds", "parameters", "macs", "statuses", "runs"]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for rank, row in enumerate(table.rows, 1):
            settings = {key: row.value(key) for key in table.columns}
            writer.writerow({"data": table.title, "rank": rank, **settings, **_figures(row, metrics)})
    return text.getvalue()


def _figures(row: Configuration, metrics: list[str]) -> dict[str, object]:
    found: dict[str, object] = {"seeds": " ".join(str(run.seed) for run in row.runs)}
    for metric in metrics:
        sample = row.sample(metric)
        parts = dict(zip((" sd", " low", " high"), (sample.sd, *sample.interval), strict=True))
        found[metric], found[f"{metric} n"] = _blank(sample.mean), sample.n
        found.update({metric + part: _blank(value) for part, value in parts.items()})
    found.update({name: _blank(row.mean(name)) for name in ("seconds", "parameters", "macs")})
    found["statuses"] = " ".join(f"{status}:{number}" for status, number in row.statuses().items())
    found["runs"] = " ".join(str(run.folder) for run in [*row.runs, *row.others])
    return found


def _blank(value: float) -> float | str:
    return "" if math.isnan(value) else value


def as_markdown(tables: Sequence[ReportTable]) -> str:
    """Return the tables of the terminal in full, with unfinished runs and remarks."""
    return "\n".join(_one(table) for table in tables)


def _one(table: ReportTable) -> str:
    names = heads(table)
    rules = ["---:" if index == 0 or index > len(table.columns) else "---" for index in range(len(names))]
    lines = [names, rules, *(cells(table, row, rank) for rank, row in enumerate(table.rows, 1))]
    parts = [f"## {_escaped(table.title)}, by {table.metric}\n"]
    if table.rows:
        parts += [f"| {' | '.join(_escaped(shortened(cell, 80)) for cell in line)} |" for line in lines]
        parts.append("")
    if table.unfinished:
        parts.append("Not finished:\n")
        parts += [f"- {run.status}: `{run.folder}` {_escaped(why(run))}" for run in table.unfinished]
        parts.append("")
    return "\n".join([*parts, *(_escaped(remark) + "  " for remark in remarks(table))]) + "\n"


def _escaped(text: str) -> str:
    for char in "\\|<>*_`":
        text = text.replace(char, f"\\{char}")
    return text
