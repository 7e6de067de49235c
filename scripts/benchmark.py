"""Measures how fast Convline is, as ratios to doing the same without it: `python scripts/benchmark.py all`.

The two ways of each comparison are measured in turn, A B A B …, on pinned threads. It prints the ratios with their
spread and whether they meet their targets; a missed target is no error, and no test looks at a time.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import mnist, tables
from benchmarks.augmented_path import compare_augmented
from benchmarks.dashboards import compare_dashboards
from benchmarks.data_path import compare_data
from benchmarks.data_reading import compare_reading
from benchmarks.fit import compare_fit
from benchmarks.measure import ALLOWED_CORES, Comparison, pin
from benchmarks.plain_path import compare_plain
from benchmarks.rank_memory import measure_rank_memory, show_rank_memory
from benchmarks.ranks import compare_rank_epochs, compare_rank_startup
from benchmarks.report_time import compare_report
from benchmarks.startup import compare_startup
from benchmarks.sweep import compare_sweep
from benchmarks.sweep_growth import measure_growth, show_growth

FIT_TARGETS = {"lenet": 1.05, "dense": 1.35}  # at most so many times the bare loop's time
DATA_TARGET = 50.0  # at least so many times as fast
AUGMENTED_TARGET = 15.0  # at least so many times as fast
PLAIN_TARGET = 1.1  # at most so many times the time of doing it by hand
READING_TARGET = 3.0  # at most so many times torchvision's time for less
STARTUP_TARGET = 1.3  # at most so many times the imports' time
SWEEP_TARGET = 1.5  # at least so many times as fast
JOB_TARGET = 0.5  # at most so many processor seconds beside a job's training
DASHBOARDS_TARGET = 1.05  # at most so many times the time of the same run with nothing shown
RANK_STARTUP_TARGET = 2.0  # at most so many times the start of one rank
RANK_EPOCH_TARGET = 1.5  # at least so many times as fast as one rank
REPORT_TARGET = 5.0  # at most so many times the time that importing pandas and matplotlib takes


class Which(StrEnum):
    """What can be measured."""

    FIT_LENET = "fit-lenet"
    FIT_DENSE = "fit-dense"
    DATA = "data"
    DATA_AUGMENTED = "data-augmented"
    DATA_PLAIN = "data-plain"
    DATA_READING = "data-reading"
    STARTUP = "startup"
    SWEEP = "sweep"
    DASHBOARDS = "dashboards"
    REPORT = "report"
    RANK_STARTUP = "rank-startup"
    RANK_EPOCH = "rank-epoch"
    RANK_MEMORY = "rank-memory"
    SWEEP_GROWTH = "sweep-growth"
    ALL = "all"


NOT_RATIOS = (Which.SWEEP_GROWTH, Which.RANK_MEMORY)
MEMORY_IMAGES = 20_000  # of 192 KiB each


def measure(which: Which, num_rounds: int, num_epochs: int, num_threads: int) -> Comparison | None:
    """Do one comparison, with its threads pinned; None where its data are missing."""
    # a DataLoader's workers, and ranks, may use every core
    with_workers = which in (Which.DATA, Which.DATA_AUGMENTED, Which.RANK_STARTUP, Which.RANK_EPOCH)
    pin(num_threads, num_cores=len(ALLOWED_CORES) if with_workers else None)
    comparisons: dict[Which, Callable[[], Comparison | None]] = {
        Which.DATA: lambda: compare_data(DATA_TARGET, num_rounds, real=mnist.folder()),
        Which.DATA_AUGMENTED: lambda: compare_augmented(AUGMENTED_TARGET, num_rounds),
        Which.DATA_PLAIN: lambda: compare_plain(PLAIN_TARGET, num_rounds),
        Which.DATA_READING: lambda: compare_reading(READING_TARGET, num_rounds),
        Which.STARTUP: lambda: compare_startup(STARTUP_TARGET, num_rounds),
        Which.SWEEP: lambda: compare_sweep(SWEEP_TARGET, JOB_TARGET, num_rounds, num_epochs),
        Which.DASHBOARDS: lambda: compare_dashboards(DASHBOARDS_TARGET, num_rounds),
        Which.REPORT: lambda: compare_report(REPORT_TARGET, num_rounds),
        Which.RANK_STARTUP: lambda: compare_rank_startup(RANK_STARTUP_TARGET, num_rounds),
        Which.RANK_EPOCH: lambda: compare_rank_epochs(RANK_EPOCH_TARGET, num_rounds),
    }
    if which in comparisons:
        return comparisons[which]()
    model = which.removeprefix("fit-")
    return compare_fit(model, FIT_TARGETS[model], num_rounds, num_epochs, num_threads)


def main(
    which: Annotated[Which, typer.Argument(help="What to measure.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often each way is measured.")] = 7,
    epochs: Annotated[int, typer.Option(min=1, help="Length of each fit.")] = 2,
    threads: Annotated[list[int], typer.Option(min=1, help="Of fits, sweeps; may be given several times.")] = [1],  # noqa: B006
    json: Annotated[Path | None, typer.Option(help="Write everything there.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table there, for docs/benchmarks.md.")] = None,
) -> None:
    """Compare Convline's speed with doing the same without it; prints ratios, their spread and their targets."""
    console = Console()
    if which is Which.SWEEP_GROWTH:  # compares sizes of sweeps, not two ways; it takes half an hour
        show_growth(measure_growth())
        return
    if which is Which.RANK_MEMORY:  # prints MiB
        show_rank_memory(measure_rank_memory(MEMORY_IMAGES))
        return
    described = tables.machine()
    chosen = [member for member in Which if member not in (Which.ALL, *NOT_RATIOS)] if which is Which.ALL else [which]
    comparisons = []
    for member in chosen:
        for num_threads in sorted(set(threads)) if member.startswith(("fit", "sweep")) else [1]:
            console.print(f"measuring {member}, threads: {num_threads} …")
            measured = measure(member, rounds, epochs, num_threads)
            if measured is None:
                console.print("... its data are not there")
                continue
            comparisons.append(measured)
            if json is not None:  # after each one: an interrupted series keeps what it has
                tables.write_json(json, comparisons, described)
            if markdown is not None:
                markdown.write_text(tables.markdown(comparisons, described))
    console.print(tables.rich_table(comparisons))
    notes = f"{tables.machine_line(described)}\n\n{tables.remarks(comparisons)}"
    console.print(notes, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
