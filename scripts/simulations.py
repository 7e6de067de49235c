"""Measures how often Convline's intervals and verdicts are true: `python scripts/simulations.py all`.

Data are drawn from distributions whose truth is known, and given to the functions that a report or a comparison calls.
docs/statistics.md has the tables. A rate that breaks what Convline claims at 95 % is marked, and the exit status is 1.
"""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from simulation import calibration, images, seeds, selection, settings, several, two_groups
from simulation.tables import OUTSIDE, Table, as_grid, as_markdown


class Part(StrEnum):
    """List what can be simulated."""

    SEEDS = "seeds"
    IMAGES = "images"
    VERDICT = "verdict"
    SEVERAL = "several"
    SELECTION = "selection"
    SETTINGS = "settings"
    CALIBRATION = "calibration"
    ALL = "all"


SIMULATIONS = {
    Part.SEEDS: seeds.simulate,
    Part.IMAGES: images.simulate,
    Part.VERDICT: two_groups.simulate,
    Part.SEVERAL: several.simulate,
    Part.SELECTION: selection.simulate,
    Part.SETTINGS: settings.simulate,
    Part.CALIBRATION: calibration.simulate,
}


def simulate(part: Part, experiments: int, seed: int) -> list[Table]:
    """Simulate one part; the same numbers follow from the same seed, whatever else is simulated."""
    return SIMULATIONS[part](experiments, np.random.default_rng([seed, list(SIMULATIONS).index(part)]))


def main(
    part: Annotated[Part, typer.Argument(help="What to simulate.")],
    experiments: Annotated[int, typer.Option(min=8, help="Experiments of each row; some rows have fewer.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 0,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables there, for docs/statistics.md.")] = None,
) -> None:
    """Simulate how often intervals and verdicts are true; all takes about a quarter of an hour."""
    console = Console()
    texts, num_outside, num_claimed = [], 0, 0
    for each in SIMULATIONS if part is Part.ALL else [part]:
        start = time.perf_counter()
        tables = simulate(each, experiments, seed)
        for table in tables:
            console.print(as_grid(table))
            texts.append(as_markdown(table))
            num_outside += sum(rate.is_outside for rate in table.rates)
            num_claimed += sum(bool(rate.kind) for rate in table.rates)
        console.print(f"{each}: {time.perf_counter() - start:.0f} s\n", highlight=False)
        if markdown is not None:
            markdown.write_text("\n".join(texts))
    mark = f", marked{OUTSIDE}" if num_outside else ""
    console.print(f"{num_outside} of {num_claimed} rates break a claim of 95 %{mark}", highlight=False, markup=False)
    if num_outside:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
