"""`convline compare`: do two configurations differ, and how many more seeds would say so."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table as Grid
from rich.text import Text

from convline import ledger
from convline.errors import UserError
from convline.reporting import verdict
from convline.reporting.groups import Group, two_groups
from convline.reporting.predictions import OnImages, on_images
from convline.reporting.statistics import Difference, Sample, paired, seeds_needed, welch
from convline.reporting.terminal import console
from convline.reporting.text import folded, head, plural, signed


@dataclass(frozen=True)
class Comparison:
    """Two groups and what their figures say.

    Args:
        metric: such as "test/acc".
        a, b: the two sides; differences are A − B.
        over_seeds: Welch's interval; None with one seed on a side.
        by_seed: the same over pairs of the same seed; None below two pairs.
        needed: seeds of each side that would settle it; None without a spread, or if 1,000 are too few.
        images: on the saved logits; None where some are missing.
        looks: how often the test set was looked at.
    """

    metric: str
    a: Group
    b: Group
    over_seeds: Difference | None
    by_seed: Difference | None
    needed: int | None
    images: OnImages | None
    looks: int


def compare(
    words: Sequence[str], by: str | None = None, part: str = "test", figure: str = "acc", json_file: Path | None = None
) -> None:
    """Compare two groups of runs and print whether the data support a difference.

    Args:
        words: the folders of the two sides; see `two_groups`.
        by: a setting that splits one folder.
        part: "test" or "val".
        figure: "acc" or "loss".
        json_file: where everything is written too.
    Raises:
        UserError: there are not two groups, or they were evaluated on different images.
    """
    found = comparison(words, by, part, figure)
    _show(found)
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(as_dict(found), indent=2) + "\n")
        except OSError as error:
            raise UserError(f"--json {json_file}: it cannot be written: {error.strerror}") from error


def comparison(words: Sequence[str], by: str | None, part: str, figure: str) -> Comparison:
    """All figures of a comparison; for the arguments see `compare`."""
    metric = f"{part}/{figure}"
    a, b = two_groups(words, by, metric)
    images = on_images(a.runs, b.runs, part, figure)
    names = {run.data for run in [*a.runs, *b.runs]}
    if images is None and len({(run.data, run.fingerprint) for run in [*a.runs, *b.runs]}) > 1:
        raise UserError(f"the runs are not on the same data ({', '.join(sorted(names))}), or not on the same split.")
    sample_a, sample_b = a.sample(metric), b.sample(metric)
    over_seeds = welch(sample_a, sample_b)
    homes = {run.home for run in [*a.runs, *b.runs]}
    return Comparison(
        metric=metric,
        a=a,
        b=b,
        over_seeds=over_seeds,
        by_seed=_by_seed(a, b, metric),
        needed=seeds_needed(over_seeds.value, sample_a.sd, sample_b.sd) if over_seeds else None,
        images=images,
        looks=sum(ledger.count(home, data) for home in homes for data in names),
    )


def _by_seed(a: Group, b: Group, metric: str) -> Difference | None:
    figures = {str(run.seed): run.metrics[metric] for run in b.runs}
    both = [(run.metrics[metric], figures[str(run.seed)]) for run in a.runs if str(run.seed) in figures]
    return paired(Sample(tuple(x for x, _ in both)), Sample(tuple(y for _, y in both)))


def as_dict(found: Comparison) -> dict[str, Any]:
    """Everything, for JSON."""
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
        "looks_at_the_test_set": found.looks,
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
    terminal.print(_differences(found))
    terminal.print()
    for number, paragraph in enumerate(verdict.words(found)):
        terminal.print(paragraph, markup=False, style="bold" if number == 0 else "")


def _sides(found: Comparison) -> Grid:
    grid = Grid.grid(padding=(0, 2))
    for letter, group in (("A", found.a), ("B", found.b)):
        seeds = ", ".join(str(run.seed) for run in group.runs)
        figure = f"{head(found.metric)} {folded(found.metric, group.sample(found.metric))}"
        grid.add_row(f"  {letter}", Text(group.name), Text(figure), Text(f"seed{'s' * (len(group.runs) > 1)} {seeds}"))
    return grid


def _differences(found: Comparison) -> Grid:
    """A − B in each of the ways that the data allow."""
    grid = Grid.grid(padding=(0, 2))
    ways: list[tuple[str, Difference | None, str]] = [
        ("over seeds", found.over_seeds, "Welch"),
        ("over seeds, paired", found.by_seed, f"{found.by_seed.n if found.by_seed else 0} pairs of the same seed"),
    ]
    if found.images:
        text = f"bootstrap over {found.images.num_images:,} images, these networks"
        ways.append(("over images", found.images.difference, text))
    for name, difference, how in ways:
        if difference is not None:
            low, high = signed(found.metric, difference.low), signed(found.metric, difference.high, unit=True)
            value = f"A − B = {signed(found.metric, difference.value)}"
            p = f", p = {difference.p:.2g}" if difference.p == difference.p else ""
            grid.add_row(f"  {name}", value, f"95 % interval {low} to {high}", Text(f"({how}{p})"))
    for pair in found.images.pairs[:5] if found.images else []:
        counts = f"A alone right on {pair.only_a:,}, B alone on {pair.only_b:,}"
        grid.add_row("  McNemar", counts, f"p = {pair.p:.2g}", Text(f"({' / '.join(pair.runs)})", overflow="fold"))
    if found.images and len(found.images.pairs) > 5:
        grid.add_row("", f"… and {plural(len(found.images.pairs) - 5, 'more pair')}", "", "")
    return grid
