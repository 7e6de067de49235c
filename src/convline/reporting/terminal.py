"""Print report tables on the terminal."""

from collections import Counter
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
    """Make a console as wide as the terminal or as $COLUMNS says, else 160 columns wide."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=get_terminal_size((160, 24)).columns)


def show_tables(tables: list[ReportTable]) -> None:
    """Print report tables, each with its unfinished runs and its remarks."""
    terminal = console()
    for table in tables:
        if table.rows:
            terminal.print(_grid(table, terminal.width))
        else:
            terminal.print(table.title, style="bold", markup=False)
        if len(table.rows) > MAX_ROWS:
            terminal.print(f"… and {plural(len(table.rows) - MAX_ROWS, 'more configuration')}, in the files")
        _show_unfinished(terminal, table)
        for remark in remarks(table):
            terminal.print(remark, markup=False)
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
    columns_shown = all_columns
    for columns in (all_columns, shared):
        for num_left_out in range(len(LEFT_OUT) + 1):
            columns_shown = {name: column for name, column in columns.items() if name not in LEFT_OUT[:num_left_out]}
            if sum(_width(name, column) + 3 for name, column in columns_shown.items()) + 1 <= width:
                return columns_shown
    return columns_shown


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
    grid = Grid.grid(padding=(0, 2))
    for run in table.unfinished[:MAX_UNFINISHED]:
        grid.add_row(
            Text(run.status), Text(run.path_text, overflow="fold"), Text(unfinished_reason(run), overflow="fold")
        )
    terminal.print(f"{plural(len(table.unfinished), 'run')} not finished:")
    terminal.print(grid)
    if len(table.unfinished) > MAX_UNFINISHED:
        terminal.print(f"… and {len(table.unfinished) - MAX_UNFINISHED:,} more")
