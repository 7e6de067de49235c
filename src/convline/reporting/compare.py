"""Compare configurations for `convline compare`: print whether they differ, and how many seeds would show it."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from string import ascii_letters
from typing import Any

from rich.table import Table as Grid
from rich.text import Text

from convline.config.metrics import is_share
from convline.errors import UserError
from convline.formatting import UNKNOWN
from convline.reporting import verdict
from convline.reporting.comparison import Comparison, Group, comparison, find_groups
from convline.reporting.metric_text import mean_and_spread, name_with_unit, signed_text
from convline.reporting.paired_tests import ImageComparison
from convline.reporting.several_groups import SeveralGroups, compare_several
from convline.reporting.statistics import Difference
from convline.reporting.terminal import console

MAX_PAIRS = 10


def compare(
    arguments: Sequence[str],
    by: str | None = None,
    split: str = "test",
    metric_name: str = "acc",
    json_file: Path | None = None,
    without_confirming: bool = False,
) -> list[Group]:
    """Compare groups of runs and print whether the data support a difference.

    Args:
        arguments: the folders of the groups; see `find_groups`.
        by: setting by whose values the runs of one folder are split into groups.
        split: "test" or "val".
        metric_name: "acc", "loss" or another metric of the runs.
        json_file: file that receives the comparison as JSON; None: no file.
        without_confirming: leave out runs that an earlier command has trained to confirm a comparison.
    Returns:
        The groups.
    Raises:
        UserError: there are fewer than two groups, or they were evaluated on different images.
    """
    metric = f"{split}/{metric_name}"
    groups = find_groups(arguments, by, metric, without_confirming)
    if len(groups) == 2:
        result = comparison(groups[0], groups[1], metric)
        _show(result)
        content = as_dict(result)
    else:
        several = compare_several(groups, metric)
        _show_several(several)
        content = several_as_dict(several)
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise UserError(f"--json {json_file}: it cannot be written: {error.strerror}") from error
    return groups


def as_dict(result: Comparison) -> dict[str, Any]:
    """Convert a comparison, its runs and its verdict to a dict that JSON can hold."""
    sides = {letter: _group_as_dict(group, result.metric) for letter, group in (("a", result.a), ("b", result.b))}
    images = dataclasses.asdict(result.images) if result.images else None
    if images:
        del images["difference"]["p"]  # the bootstrap has none
    return {
        "metric": result.metric,
        **sides,
        "over_seeds": dataclasses.asdict(result.over_seeds) if result.over_seeds else None,
        "by_seed": dataclasses.asdict(result.by_seed) if result.by_seed else None,
        "seeds_needed": result.needed,
        "images": images,
        "test_set_evaluations": result.num_test_evaluations,
        "verdict": verdict.paragraphs(result),
    }


def several_as_dict(result: SeveralGroups) -> dict[str, Any]:
    """Convert a comparison of more than two groups to a dict that JSON can hold."""
    groups = [
        {**_group_as_dict(group, result.metric), "letters": letters}
        for group, letters in zip(result.groups, result.letters, strict=True)
    ]
    return {
        "metric": result.metric,
        "groups": groups,
        "pairs": [dataclasses.asdict(pair) for pair in result.pairs],
        "test_set_evaluations": result.num_test_evaluations,
        "verdict": verdict.paragraphs_of_several(result),
    }


def _group_as_dict(group: Group, metric: str) -> dict[str, Any]:
    sample = group.sample(metric)
    return {
        "name": group.name,
        "runs": [str(run.folder) for run in group.runs],
        "seeds": [run.seed for run in group.runs],
        "values": list(sample.values),
        "mean": sample.mean,
        "sd": None if sample.n < 2 else sample.sd,
        "notes": group.notes,
    }


def _show(result: Comparison) -> None:
    terminal = console()
    terminal.print(f"{result.metric} of the checkpoints that validation chose", style="bold")
    terminal.print(_sides(result))
    for group in (result.a, result.b):
        for note in group.notes:
            terminal.print(f"  {'A' if group is result.a else 'B'}: {note}")
    terminal.print()
    if result.over_seeds or result.images:
        terminal.print(_differences(result))
    if result.images and result.images.pairs:
        terminal.print(_pairs(result.images))
    _print_verdict(verdict.paragraphs(result))


def _print_verdict(paragraphs: Sequence[str]) -> None:
    terminal = console()
    terminal.print()
    for index, paragraph in enumerate(paragraphs):
        terminal.print(paragraph, style="bold" if index == 0 else "")


def _show_several(result: SeveralGroups) -> None:
    terminal = console()
    terminal.print(f"{result.metric} of the checkpoints that validation chose", style="bold")
    grid = Grid(box=None, padding=(0, 1), pad_edge=False)
    for column in ("  #", "", name_with_unit(result.metric), "seeds", "letters"):
        grid.add_column(column, justify="right" if column in ("  #", "seeds") else "left")
    for number, (group, letters) in enumerate(zip(result.groups, result.letters, strict=True), 1):
        sample = group.sample(result.metric)
        value = mean_and_spread(result.metric, sample)
        grid.add_row(str(number), Text(group.name), value, str(sample.n), " " * _indent(letters) + letters)
    terminal.print(grid)
    for number, group in enumerate(result.groups, 1):
        for note in group.notes:
            terminal.print(f"  {number}: {note}")
    terminal.print()
    terminal.print(_pairs_of_several(result))
    _print_verdict(verdict.paragraphs_of_several(result))


def _indent(letters: str) -> int:
    """Return the position of the first letter, so that equal letters stand below each other."""
    return ascii_letters.find(letters[0])


def _pairs_of_several(result: SeveralGroups) -> Grid:
    """Tabulate the pairs, the least probable to be alike first."""
    unit = " (points)" if is_share(result.metric) else ""
    grid = Grid(box=None, padding=(0, 1), pad_edge=False)
    for column in ("", f"difference{unit}", "Welch's p", "p after Holm"):
        grid.add_column(column, justify="right" if column else "left")
    pairs = sorted(result.pairs, key=lambda pair: pair.adjusted)
    for pair in pairs[:MAX_PAIRS]:
        names = f"  {pair.first + 1} − {pair.second + 1}"
        if pair.difference is None:
            grid.add_row(names, UNKNOWN, UNKNOWN, UNKNOWN)
        else:
            value = signed_text(result.metric, pair.difference.value)
            grid.add_row(names, value, f"{pair.difference.p:.2g}", f"{pair.adjusted:.2g}")
    if len(pairs) > MAX_PAIRS:
        grid.add_row(f"  … {len(pairs) - MAX_PAIRS} more; --json FILE writes all")
    return grid


def _sides(result: Comparison) -> Grid:
    grid = Grid.grid(padding=(0, 2))
    for letter, group in (("A", result.a), ("B", result.b)):
        seeds = ", ".join(str(run.seed) for run in group.runs)
        value = f"{name_with_unit(result.metric)} {mean_and_spread(result.metric, group.sample(result.metric))}"
        grid.add_row(f"  {letter}", Text(group.name), Text(value), Text(f"seed{'s' * (len(group.runs) > 1)} {seeds}"))
    return grid


def _differences(result: Comparison) -> Grid:
    """Tabulate A − B and its interval by every method that the data allow."""
    unit = " (points)" if is_share(result.metric) else ""
    grid = Grid(box=None, padding=(0, 1), pad_edge=False)
    grid.add_column("")
    grid.add_column(f"A − B{unit}", justify="right")
    grid.add_column("95 % interval", justify="right")
    grid.add_column("by")
    pairs, images = result.by_seed, result.images
    rows: list[tuple[str, Difference | None, str]] = [
        ("  over seeds", result.over_seeds, "Welch"),
        ("  over seeds, paired", pairs, f"{pairs.n} pairs" if pairs else ""),
        (
            "  over images",
            images.difference if images else None,
            f"bootstrap, {images.num_images:,} images" if images else "",
        ),
    ]
    for name, difference, method in rows:
        if difference is not None:
            interval = f"{signed_text(result.metric, difference.low)} to {signed_text(result.metric, difference.high)}"
            p = "" if math.isnan(difference.p) else f", p = {difference.p:.2g}"
            grid.add_row(name, signed_text(result.metric, difference.value), interval, method + p)
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
