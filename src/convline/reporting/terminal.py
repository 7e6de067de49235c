"""Tables for the terminal."""

from collections import Counter

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from convline.reporting.fold import Configuration, Table
from convline.reporting.lines import cells, figures, heads, remarks, why
from convline.reporting.text import plural, shortened, show

MOST_ROWS, MOST_SETTINGS, MOST_UNFINISHED = 40, 6, 20


def console() -> Console:
    """As wide as the terminal, or wide enough for a table where there is none."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=160)


def show_tables(tables: list[Table]) -> None:
    """Print them, each with its unfinished runs and remarks."""
    terminal = console()
    for table in tables:
        if table.rows:
            terminal.print(_grid(table))
        else:
            terminal.print(table.title, style="bold", markup=False)
        if len(table.rows) > MOST_ROWS:
            terminal.print(f"… and {plural(len(table.rows) - MOST_ROWS, 'more configuration')}, in the files")
        _show_unfinished(terminal, table)
        for remark in remarks(table):
            terminal.print(remark, markup=False)
        terminal.print()


def _grid(table: Table) -> Grid:
    grid = Grid(
        title=f"{table.title}, by {table.metric}", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold"
    )
    is_wide = len(table.columns) > MOST_SETTINGS
    names = heads(table)
    if is_wide:
        names[1 : 1 + len(table.columns)] = ["settings"]
    num_figures = len(names) - (2 if is_wide else 1 + len(table.columns))
    for index, name in enumerate(names):
        is_figure = index == 0 or index >= len(names) - num_figures
        grid.add_column(name, justify="right" if is_figure else "left", no_wrap=is_figure, overflow="fold")
    usual = _usual(table)
    for rank, row in enumerate(table.rows[:MOST_ROWS], 1):
        values = cells(table, row, rank)
        if is_wide:
            values = [str(rank), _deviations(table, row, usual), *figures(table, row)]
        grid.add_row(*(Text(shortened(value) if not is_wide else value) for value in values))
    return grid


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
