"""`convline report`: print a table of runs, and write it as CSV, Markdown and a page with plots."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from convline.errors import UserError
from convline.reporting import run_records as records
from convline.reporting.configurations import ReportTable, tables
from convline.reporting.export import as_csv, as_markdown
from convline.reporting.terminal import console, show_tables


def report(
    folders: Sequence[Path],
    metric: str | None = None,
    csv_file: Path | None = None,
    markdown_file: Path | None = None,
    html_file: Path | None = None,
) -> None:
    """Print a table of the runs in some folders, and write it to files.

    Args:
        folders: run directories, sweeps, or whole trees of runs.
        metric: that sorts; None: the one that chose the checkpoints.
        csv_file, markdown_file, html_file: where to write. If none is given and there is one folder, that folder
            gets all three: report.csv, report.md and report.html.
    Raises:
        UserError: there is no run, no such metric, or a file cannot be written.
    """
    made = tables(records.find_runs(folders), metric)
    show_tables(made)
    if not (csv_file or markdown_file or html_file) and len(folders) == 1:
        csv_file, markdown_file, html_file = (folders[0] / f"report.{ending}" for ending in ("csv", "md", "html"))
    _write(csv_file, lambda: as_csv(made))
    _write(markdown_file, lambda: as_markdown(made))
    _write(html_file, lambda: _page(made, folders))


def report_sweep(folder: Path) -> None:
    """Report on a sweep that has ended: print its table, and write report.csv, report.md and report.html into it.

    `importance.json` in the folder, `{"optimizer.lr": 0.7, …}`, is drawn too.

    Raises:
        UserError: there is no run in it, or it cannot be written to.
    """
    report([folder])


def _page(made: list[ReportTable], folders: Sequence[Path]) -> str:
    from convline.reporting.page import page  # draws: not needed where only figures are asked for

    if len(folders) == 1:
        return page(made, str(folders[0]) if folders[0].name else folders[0].resolve().name)
    return page(made, f"{len(folders)} folders in {os.path.commonpath([folder.absolute() for folder in folders])}")


def _write(path: Path | None, content: Callable[[], str]) -> None:
    if path is None:
        return
    try:
        path.write_text(content(), encoding="utf-8")
    except OSError as error:
        remedy = "Name files elsewhere: --csv FILE --markdown FILE --html FILE"
        raise UserError(f"{path} cannot be written: {error.strerror}.\n  {remedy}") from error
    console().print(f"written: {path}", markup=False, soft_wrap=True)
