"""Convert report tables to CSV and Markdown."""

import csv
import io
import math
import re
from collections.abc import Sequence

from convline.formatting import csv_text, markdown_text, shortened, visible
from convline.reporting.configurations import Configuration, ReportTable
from convline.reporting.statistics import share_interval
from convline.reporting.table import cells, column_names, remarks, unfinished_reason

OF_IMAGES = (" images", " images low", " images high")  # columns of an accuracy


def as_csv(tables: Sequence[ReportTable]) -> str:
    """Write tables as CSV: one line per configuration, in full precision.

    Each metric has its mean, sample standard deviation, number of seeds and 95 % confidence interval of the mean; an
    accuracy also its number of images and its interval over other images.
    """
    keys = list(dict.fromkeys(key for table in tables for key in table.columns))
    metrics = sorted({m for table in tables for row in table.rows for run in row.runs for m in run.metrics})
    columns = ["data", "rank", *keys, "seeds"]
    for metric in metrics:
        columns += [f"{metric}{part}" for part in ("", " sd", " n", " low", " high")]
        if metric.endswith("/acc"):
            columns += [f"{metric}{part}" for part in OF_IMAGES]
    columns += ["seconds", "parameters", "macs", "statuses", "runs"]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writerow({column: csv_text(visible(column)) for column in columns})
    for table in tables:
        for rank, row in enumerate(table.rows, 1):
            settings = {key: row.value(key) for key in table.columns}
            cells = {"data": table.title, "rank": rank, **settings, **_cells_by_column(row, metrics)}
            writer.writerow(
                {key: csv_text(visible(cell)) if isinstance(cell, str) else cell for key, cell in cells.items()}
            )
    return text.getvalue()


def _cells_by_column(row: Configuration, metrics: list[str]) -> dict[str, object]:
    cells_by_column: dict[str, object] = {"seeds": " ".join(str(run.seed) for run in row.runs)}
    for metric in metrics:
        sample = row.sample(metric)
        parts = dict(zip((" sd", " low", " high"), (sample.sd, *sample.interval), strict=True))
        cells_by_column[metric], cells_by_column[f"{metric} n"] = _blank(sample.mean), sample.n
        cells_by_column.update({metric + part: _blank(value) for part, value in parts.items()})
        if (num_images := row.num_images(metric)) and sample.n:
            values = (num_images, *share_interval(sample.mean, num_images))
            cells_by_column.update({metric + part: value for part, value in zip(OF_IMAGES, values, strict=True)})
    cells_by_column.update({name: _blank(row.mean(name)) for name in ("seconds", "parameters", "macs")})
    cells_by_column["statuses"] = " ".join(f"{status}:{count}" for status, count in row.statuses().items())
    cells_by_column["runs"] = " ".join(run.path_text for run in [*row.runs, *row.others])
    return cells_by_column


def _blank(value: float) -> float | str:
    return "" if math.isnan(value) else value


def as_markdown(tables: Sequence[ReportTable]) -> str:
    """Write tables as Markdown, with all rows and columns, unfinished runs and remarks."""
    return "\n".join(_table(table) for table in tables)


def _table(table: ReportTable) -> str:
    names = column_names(table)
    rules = ["---:" if index == 0 or index > len(table.columns) else "---" for index in range(len(names))]
    lines = [names, rules, *(cells(table, row, rank) for rank, row in enumerate(table.rows, 1))]
    parts = [f"## {markdown_text(table.title)}, by {markdown_text(table.metric)}\n"]
    if table.rows:
        parts += [f"| {' | '.join(markdown_text(shortened(cell, 80)) for cell in line)} |" for line in lines]
        parts.append("")
    if table.unfinished:
        parts.append("Not finished:\n")
        parts += [
            f"- {markdown_text(run.status)}: {_code(run.path_text)} {markdown_text(unfinished_reason(run))}"
            for run in table.unfinished
        ]
        parts.append("")
    return "\n".join([*parts, *(markdown_text(remark) + "  " for remark in remarks(table))]) + "\n"


def _code(text: str) -> str:
    """Write a text as code, between more backticks than it has in a row."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"
