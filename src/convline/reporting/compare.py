"""`convline compare`: print whether two configurations differ, and how many more seeds would show it."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table as Grid
from rich.text import Text

from convline.errors import UserError
from convline.reporting import verdict
from convline.reporting.comparison import Comparison, comparison
from convline.reporting.metric_text import head, is_share, mean_and_spread, signed
from convline.reporting.paired_tests import ImageComparison
from convline.reporting.statistics import Difference
from convline.reporting.terminal import console

MAX_PAIRS = 10


def compare(
    words: Sequence[str],
    by: str | None = None,
    split: str = "test",
    metric_name: str = "acc",
    json_file: Path | None = None,
) -> None:
    """Compare two groups of runs and print whether the data support a difference.

    Args:
        words: the folders of the two sides; see `two_groups`.
        by: a setting that splits one folder.
        split: "test" or "val".
        metric_name: "acc" or "loss".
        json_file: where everything is written too.
    Raises:
        UserError: there are not two groups, or they were evaluated on different images.
    """
    found = comparison(words, by, split, metric_name)
    _show(found)
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(as_dict(found), indent=2) + "\n")
        except OSError as error:
            raise UserError(f"--json {json_file}: it cannot be written: {error.strerror}") from error


def as_dict(found: Comparison) -> dict[str, Any]:
    """Return the whole comparison, for JSON."""
    sides = {
        letter: {
            "name": group.name,
            "runs": [str(run.folder) for run in group.runs],
            "seeds": [run.seed for run in group.runs],
            "values": list(group.sample(found.metric).values),
            "mean": group.sample(found.metric).mean,
            "sd": None if len(group.runs) < 2 else group.sample(found.metric).sd,
            "notes": group.notes,
        }
        for letter, group in (("a", found.a), ("b", found.b))
    }
    images = dataclasses.asdict(found.images) if found.images else None
    if images:
        del images["difference"]["p"]  # the bootstrap has none
    return {
        "metric": found.metric,
        **sides,
        "over_seeds": dataclasses.asdict(found.over_seeds) if found.over_seeds else None,
        "by_seed": dataclasses.asdict(found.by_seed) if found.by_seed else None,
        "seeds_needed": found.needed,
        "images": images,
        "test_set_evaluations": found.num_test_evaluations,
        "verdict": verdict.words(found),
    }


def _show(found: Comparison) -> None:
    terminal = console()
    terminal.print(f"{found.metric} of the checkpoints that validation chose", style="bold")
    terminal.print(_sides(found))
    for group in (found.a, found.b):
        for note in group.notes:
            terminal.print(f"  {'A' if group is found.a else 'B'}: {note}", markup=False)
    terminal.print()
    if found.over_seeds or found.images:
        terminal.print(_differences(found))
    if found.images:
        terminal.print(_pairs(found.images))
    terminal.print()
    for number, paragraph in enumerate(verdict.words(found)):
        terminal.print(paragraph, markup=False, style="bold" if number == 0 else "")


def _sides(found: Comparison) -> Grid:
    grid = Grid.grid(padding=(0, 2))
    for letter, group in (("A", found.a), ("B", found.b)):
        seeds = ", ".join(str(run.seed) for run in group.runs)
        figure = f"{head(found.metric)} {mean_and_spread(found.metric, group.sample(found.metric))}"
        grid.add_row(f"  {letter}", Text(group.name), Text(figure), Text(f"seed{'s' * (len(group.runs) > 1)} {seeds}"))
    return grid


def _differences(found: Comparison) -> Grid:
    """Tabulate A − B, with its interval, by every method that the data allow."""
    unit = " (points)" if is_share(found.metric) else ""
    grid = Grid(box=None, padding=(0, 1), pad_edge=False)
    grid.add_column("")
    grid.add_column(f"A − B{unit}", justify="right")
    grid.add_column("95 % interval", justify="right")
    grid.add_column("by")
    pairs, images = found.by_seed, found.images
    ways: list[tuple[str, Difference | None, str]] = [
        ("  over seeds", found.over_seeds, "Welch"),
        ("  over seeds, paired", pairs, f"{pairs.n} pairs" if pairs else ""),
        (
            "  over images",
            images.difference if images else None,
            f"bootstrap, {images.num_images:,} images" if images else "",
        ),
    ]
    for name, difference, how in ways:
        if difference is not None:
            interval = f"{signed(found.metric, difference.low)} to {signed(found.metric, difference.high)}"
            p = "" if math.isnan(difference.p) else f", p = {difference.p:.2g}"
            grid.add_row(name, signed(found.metric, difference.value), interval, how + p)
    return grid


def _pairs(images: ImageComparison) -> Grid:
    """Tabulate McNemar's test for each pair of networks."""
    grid = Grid(box=None, padding=(0, 1), pad_edge=False)
    for name in ("", "A alone correct", "B alone correct", "McNemar's p"):
        grid.add_column(name, justify="right" if name else "left")
    for pair in images.pairs[:MAX_PAIRS]:
        seeds = f"{pair.seeds[0]}" if images.by_seed else f"{pair.seeds[0]} of A, {pair.seeds[1]} of B"
        grid.add_row(f"  seed {seeds}", f"{pair.only_a:,}", f"{pair.only_b:,}", f"{pair.p:.2g}")
    if len(images.pairs) > MAX_PAIRS:
        grid.add_row(f"  … {len(images.pairs) - MAX_PAIRS} more")
    return grid
