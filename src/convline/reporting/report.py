"""Report on runs for `convline report`: print their table, and write it as CSV, Markdown and a page with plots."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from convline.errors import UserError
from convline.reporting import run_records as records
from convline.reporting.configurations import ReportTable, tables
from convline.reporting.export import as_csv, as_markdown
from convline.reporting.terminal import console, show_tables
from convline.storage import write_text


def report(
    folders: Sequence[Path],
    metric: str | None = None,
    csv_file: Path | None = None,
    markdown_file: Path | None = None,
    html_file: Path | None = None,
) -> None:
    """Print a table of the runs in some folders, and write it to files.

    Args:
        folders: run directories, sweeps, or folders with either at any depth.
        metric: validation metric by which the table is sorted; None: the one that chose the checkpoints.
        csv_file, markdown_file, html_file: files to write. If none is given and there is one folder, report.csv,
            report.md and report.html are written into it.
    Raises:
        UserError: there is no run, no such metric, or a file cannot be written.
    """
    report_tables = tables(records.find_runs(folders), metric)
    show_tables(report_tables)
    if not (csv_file or markdown_file or html_file) and len(folders) == 1:
        csv_file, markdown_file, html_file = (folders[0] / f"report.{ending}" for ending in ("csv", "md", "html"))
    _write(csv_file, lambda: as_csv(report_tables))
    _write(markdown_file, lambda: as_markdown(report_tables))
    _write(html_file, lambda: _page(report_tables, folders))


def report_sweep(folder: Path, metric: str | None = None) -> None:
    """Print the table of a finished sweep, and write report.csv, report.md and report.html into its folder.

    The page also draws `importance.json` of the folder, such as `{"optimizer.lr": 0.7, …}`.

    Args:
        folder: the sweep's.
        metric: sorts the table if a run has it; see `report`.
    Raises:
        UserError: the folder holds no run, or cannot be written to.
    """
    report([folder], metric if any(metric in run.metrics for run in records.find_runs([folder])) else None)


def _page(report_tables: list[ReportTable], folders: Sequence[Path]) -> str:
    from convline.reporting.page import page  # imports matplotlib, which CSV and Markdown do not need

    if len(folders) == 1:
        return page(report_tables, str(folders[0]) if folders[0].name else folders[0].resolve().name)
    return page(
        report_tables, f"{len(folders)} folders in {os.path.commonpath([folder.absolute() for folder in folders])}"
    )


def _write(path: Path | None, content: Callable[[], str]) -> None:
    if path is None:
        return
    try:
        # a code for what UTF-8 does not have: half of a pair, of a name that is not UTF-8
        text = content().encode("utf-8", "backslashreplace").decode()
        if path.is_file() or not path.exists():
            write_text(path, text)
        else:  # /dev/stdout
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        remedy = "Name files elsewhere: --csv FILE --markdown FILE --html FILE"
        raise UserError(f"{path} cannot be written: {error.strerror}.\n  {remedy}") from error
    console().print(f"written: {path}", soft_wrap=True)
