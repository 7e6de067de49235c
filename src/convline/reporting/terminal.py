"""Print report tables on the terminal."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from shutil import get_terminal_size
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from convline.formatting import plural, setting_text, shortened
from convline.reporting.configurations import Configuration, ReportTable
from convline.reporting.table import cells, column_names, remarks, unfinished_reason

MAX_ROWS, MAX_UNFINISHED = 40, 20
SETTINGS, MIN_SETTINGS_WIDTH = "settings", 24  # the shared column, and its width at least
LEFT_OUT = ("MACs", "parameters", "time", "runs")  # in this order, where they do not fit


def console() -> Console:
    """Make a console for plain text, as wide as the terminal or as $COLUMNS says, else 160 columns wide."""
    terminal = Console(highlight=False, markup=False)
    if not terminal.is_terminal:
        terminal.width = get_terminal_size((160, 24)).columns
    return terminal


def columns_that_fit(widths: Mapping[str, int], left_out: Sequence[str], width: int) -> list[str]:
    """Return the columns that fit into a table; of `left_out`, they lack as many as need be, in this order.

    Args:
        widths: characters that each column needs.
        left_out: columns that a narrow table omits; the others stay even if they do not fit.
        width: characters of the table.
    """
    names = list(widths)
    for name in left_out:
        if table_width(widths[name] for name in names) > width and name in names:
            names.remove(name)
    return names


def table_width(widths: Iterable[int]) -> int:
    """Return the characters of a table whose columns have these widths."""
    return sum(width + 3 for width in widths) + 1


def show_tables(tables: list[ReportTable]) -> None:
    """Print report tables, each with its unfinished runs and its remarks."""
    terminal = console()
    for table in tables:
        if table.rows:
            terminal.print(_grid(table, terminal.width))
        else:
            terminal.print(table.title, style="bold")
        if len(table.rows) > MAX_ROWS:
            terminal.print(f"… and {plural(len(table.rows) - MAX_ROWS, 'more configuration')}, in the files")
        _show_unfinished(terminal, table)
        for remark in remarks(table):
            terminal.print(remark)
        terminal.print()


def _grid(table: ReportTable, width: int) -> Grid:
    """Build a table of the columns that fit; a narrow terminal omits costs first, then settings share a column."""
    columns = _columns(table, width)
    grid = Grid(
        title=Text(f"{table.title}, by {table.metric}", style="bold"), box=box.SIMPLE_HEAD, title_justify="left"
    )
    for name in columns:
        is_setting = name in table.columns.values() or name == SETTINGS
        justify: Literal["left", "right"] = "left" if is_setting else "right"
        grid.add_column(Text(name), justify=justify, no_wrap=name != SETTINGS, overflow="fold")
    for line in zip(*columns.values(), strict=True):
        grid.add_row(*map(Text, line))
    return grid


def _columns(table: ReportTable, width: int) -> dict[str, list[str]]:
    rows = table.rows[:MAX_ROWS]
    lines = [[shortened(cell) for cell in cells(table, row, rank)] for rank, row in enumerate(rows, 1)]
    all_columns = {
        name: list(column) for name, column in zip(column_names(table), zip(*lines, strict=True), strict=True)
    }
    usual = _usual(table)
    shared = {"#": all_columns["#"], SETTINGS: [_unusual_settings(table, row, usual) for row in rows]}
    shared |= {name: column for name, column in all_columns.items() if name not in table.columns.values()}
    shown: dict[str, list[str]] = {}
    for columns in (all_columns, shared):
        widths = {name: _width(name, column) for name, column in columns.items()}
        shown = {name: columns[name] for name in columns_that_fit(widths, LEFT_OUT, width)}
        if table_width(widths[name] for name in shown) <= width:
            break
    return shown


def _width(name: str, column: list[str]) -> int:
    widest = max(map(len, [name, *column]))
    return min(widest, MIN_SETTINGS_WIDTH) if name == SETTINGS else widest


def _usual(table: ReportTable) -> dict[str, str]:
    """Return the most frequent value of each setting."""
    return {
        key: Counter(setting_text(row.value(key)) for row in table.rows).most_common(1)[0][0] for key in table.columns
    }


def _unusual_settings(table: ReportTable, row: Configuration, usual: dict[str, str]) -> str:
    """Write the settings that differ from their most frequent value."""
    settings = {
        name: setting_text(row.value(key))
        for key, name in table.columns.items()
        if setting_text(row.value(key)) != usual[key]
    }
    return ", ".join(f"{name}={shortened(value)}" for name, value in settings.items()) or "as usual"


def _show_unfinished(terminal: Console, table: ReportTable) -> None:
    if not table.unfinished:
        return
    terminal.print(f"{plural(len(table.unfinished), 'run')} not finished:")
    lines = [(run.status, run.path_text, unfinished_reason(run)) for run in table.unfinished[:MAX_UNFINISHED]]
    if sum(max(map(len, column)) + 2 for column in zip(*lines, strict=True)) <= terminal.width:
        grid = Grid.grid(padding=(0, 2))
        for line in lines:
            grid.add_row(*map(Text, line))
        terminal.print(grid)
    else:
        for status, path, reason in lines:
            terminal.print(f"{status}  {path}", soft_wrap=True)  # a path that can be copied
            terminal.print(Text(f"  {reason}", overflow="fold"))
    if len(table.unfinished) > MAX_UNFINISHED:
        terminal.print(f"… and {len(table.unfinished) - MAX_UNFINISHED:,} more")
