"""Made-up runs, and the table that a report makes of them."""

from pathlib import Path
from typing import Any

from convline.records.directory import update_summary
from convline.reporting import run_records as records
from convline.reporting.configurations import ReportTable, tables
from support.made_runs import base_config, make_run

CONFIG = base_config()


def made(folder: Path, accuracy: float = 0.9, choices: dict[str, str] | None = None, **settings: Any) -> Path:
    """A finished run; settings by key with `__` for a dot."""
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return make_run(folder, CONFIG, keys, accuracy, choices)


def changed(folder: Path, **summary: Any) -> Path:
    update_summary(folder, **summary)
    return folder


def only(folder: Path, metric: str | None = None) -> ReportTable:
    (table,) = tables(records.find_runs([folder]), metric)
    return table


def labels(table: ReportTable) -> list[str]:
    return [table.label(row) for row in table.rows]
