"""Hold the results of simulations as tables, and write them for the terminal and for docs/statistics.md."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.table import Table as Grid

LOWEST_COVERAGE, MOST_ERRORS = 0.93, 0.06  # that an interval or a test at 95 % may have
OUTSIDE = " (!)"  # mark of a rate that is outside of these by more than chance gives: two standard errors


@dataclass(frozen=True)
class Rate:
    """Hold how often something happened in experiments.

    Args:
        count, total: number of experiments in which it happened, and of all.
        kind: "coverage" or "errors" if Convline claims 95 %, so that the rate has a limit; "" otherwise.
    """

    count: int
    total: int
    kind: str = ""

    @property
    def value(self) -> float:
        """Compute the rate, 0 to 1."""
        return self.count / self.total if self.total else math.nan

    @property
    def is_outside(self) -> bool:
        """Return whether the rate breaks the limit of its kind, by more than chance gives."""
        limit = LOWEST_COVERAGE if self.kind == "coverage" else MOST_ERRORS
        chance = 2 * math.sqrt(limit * (1 - limit) / max(self.total, 1))
        return (self.kind == "coverage" and self.value < limit - chance) or (
            self.kind == "errors" and self.value > limit + chance
        )

    def __str__(self) -> str:
        return f"{self.value:.3f}{OUTSIDE if self.is_outside else ''}"


def coverage(limits: Iterable[tuple[float, float]], truth: float, claimed: bool = True) -> Rate:
    """Count the intervals that hold the truth."""
    holds = [low <= truth <= high for low, high in limits]
    return Rate(sum(holds), len(holds), "coverage" if claimed else "")


def errors(outcomes: Sequence[bool], claimed: bool = True) -> Rate:
    """Count false positives."""
    return Rate(sum(map(bool, outcomes)), len(outcomes), "errors" if claimed else "")


@dataclass(frozen=True)
class Table:
    """Hold one table of a simulation.

    Args:
        title: what was simulated.
        columns: heads; the first ones name the case.
        rows: cells.
        experiments: number of experiments of each row, in words if it differs.
        remark: what a reader must know of it; "" for nothing.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str | int | Rate]] = field(default_factory=list)
    experiments: str = ""
    remark: str = ""

    @property
    def rates(self) -> list[Rate]:
        """Return all rates of the table."""
        return [cell for row in self.rows for cell in row if isinstance(cell, Rate)]


def as_grid(table: Table) -> Grid:
    """Format a table for the terminal."""
    grid = Grid(*table.columns, title=f"{table.title}; {_below(table)}", title_justify="left")
    for row in table.rows:
        grid.add_row(*map(str, row))
    return grid


def as_markdown(table: Table) -> str:
    """Format a table for docs/statistics.md."""
    lines = [table.columns, ["---"] * len(table.columns), *(list(map(str, row)) for row in table.rows)]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"*{table.title}; {_below(table)}*\n\n{text}\n"


def _below(table: Table) -> str:
    return ". ".join(filter(None, [f"{table.experiments} experiments a row", table.remark]))
