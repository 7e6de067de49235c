"""Tables for the terminal."""

from collections import Counter
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from convline.reporting.configurations import Configuration, Table
from convline.reporting.metric_text import plural, shortened, show
from convline.reporting.table import cells, heads, remarks, why

MOST_ROWS, MOST_UNFINISHED = 40, 20
SETTINGS, LEAST_SETTINGS = "settings", 24  # the shared column, and its width at least
LEFT_OUT = ("MACs", "parameters", "time", "runs")  # in this order, where they do not fit


def console() -> Console:
    """As wide as the terminal, or wide enough for a table where there is none."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=160)


def show_tables(tables: list[Table]) -> None:
    """Print them, each with its unfinished runs and remarks."""
    terminal = console()
    for table in tables:
        if table.rows:
            terminal.print(_grid(table, terminal.width))
        else:
            terminal.print(table.title, style="bold", markup=False)
        if len(table.rows) > MOST_ROWS:
            terminal.print(f"… and {plural(len(table.rows) - MOST_ROWS, 'more configuration')}, in the files")
        _show_unfinished(terminal, table)
        for remark in remarks(table):
            terminal.print(remark, markup=False)
        terminal.print()


def _grid(table: Table, width: int) -> Grid:
    """As many columns as fit: where it is narrow, costs are left to the files, then settings share a column."""
    columns = _columns(table, width)
    grid = Grid(
        title=f"{table.title}, by {table.metric}", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold"
    )
    for name in columns:
        is_setting = name in table.columns.values() or name == SETTINGS
        justify: Literal["left", "right"] = "left" if is_setting else "right"
        grid.add_column(name, justify=justify, no_wrap=name != SETTINGS, overflow="fold")
    for line in zip(*columns.values(), strict=True):
        grid.add_row(*map(Text, line))
    return grid


def _columns(table: Table, width: int) -> dict[str, list[str]]:
    rows = table.rows[:MOST_ROWS]
    lines = [[shortened(cell) for cell in cells(table, row, rank)] for rank, row in enumerate(rows, 1)]
    every = {name: list(column) for name, column in zip(heads(table), zip(*lines, strict=True), strict=True)}
    usual = _usual(table)
    shared = {"#": every["#"], SETTINGS: [_deviations(table, row, usual) for row in rows]}
    shared |= {name: column for name, column in every.items() if name not in table.columns.values()}
    kept = every
    for columns in (every, shared):
        for number in range(len(LEFT_OUT) + 1):
            kept = {name: column for name, column in columns.items() if name not in LEFT_OUT[:number]}
            if sum(_width(name, column) + 3 for name, column in kept.items()) + 1 <= width:
                return kept
    return kept


def _width(name: str, column: list[str]) -> int:
    widest = max(map(len, [name, *column]))
    return min(widest, LEAST_SETTINGS) if name == SETTINGS else widest


def _usual(table: Table) -> dict[str, str]:
    """The value that most rows have of each setting."""
    return {key: Counter(show(row.value(key)) for row in table.rows).most_common(1)[0][0] for key in table.columns}


def _deviations(table: Table, row: Configuration, usual: dict[str, str]) -> str:
    """Where there are too many columns: only what is not as usual."""
    shown = {name: show(row.value(key)) for key, name in table.columns.items() if show(row.value(key)) != usual[key]}
    return ", ".join(f"{name}={shortened(value)}" for name, value in shown.items()) or "as usual"


def _show_unfinished(terminal: Console, table: Table) -> None:
    if not table.unfinished:
        return
    grid = Grid.grid(padding=(0, 2))
    for run in table.unfinished[:MOST_UNFINISHED]:
        grid.add_row(Text(run.status), Text(str(run.folder), overflow="fold"), Text(why(run), overflow="fold"))
    terminal.print(f"{plural(len(table.unfinished), 'run')} not finished:")
    terminal.print(grid)
    if len(table.unfinished) > MOST_UNFINISHED:
        terminal.print(f"… and {len(table.unfinished) - MOST_UNFINISHED:,} more")
