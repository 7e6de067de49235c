"""Select groups of runs, each one configuration with its seeds, and compute the statistics of a difference of two."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from convline.config.metrics import lower_is_better
from convline.config.schema import CROSS_ENTROPY
from convline.errors import UserError
from convline.formatting import nearest, plural, setting_text
from convline.records import test_log
from convline.reporting import run_records as records
from convline.reporting.configurations import (
    ABSENT,
    Configuration,
    configurations,
    display_settings,
    short_names,
    varying_keys,
)
from convline.reporting.paired_tests import ImageComparison, compare_on_images
from convline.reporting.run_records import RunRecord
from convline.reporting.statistics import (
    Difference,
    Sample,
    paired,
    pooled_correlation,
    seeds_needed,
    selection_bias,
    welch,
)

AGAINST = "vs"


@dataclass(frozen=True)
class Group:
    """Hold the runs of one side of a comparison.

    Args:
        name: the settings that vary between the sides, or the folders.
        runs: finished runs of one configuration, one per seed, in the order of their seeds.
        notes: sentences about runs that were left out.
        candidates: all configurations of this side, of which the best by validation was chosen.
    """

    name: str
    runs: list[RunRecord]
    notes: list[str] = field(default_factory=list)
    candidates: Sequence[Configuration] = ()

    def sample(self, metric: str) -> Sample:
        """Collect a metric of all runs, one value per seed."""
        return Sample(tuple(run.metrics[metric] for run in self.runs))

    def selection_bias(self, metric: str) -> float:
        """Estimate by how much the mean is too good because this configuration was chosen; nan if nothing tells.

        If all configurations were alike in truth, this is the expected excess. The correlation with the metric that
        chose is that over the seeds of all configurations of this side.
        """
        monitor = self.runs[0].monitor
        pairs = [(row.sample(monitor), row.sample(metric)) for row in self.candidates if row.runs]
        sample = self.sample(metric)
        # of a choice by accuracy, a loss is too good if the two are correlated negatively
        sign = 1 if lower_is_better(monitor) == lower_is_better(metric) else -1
        return selection_bias(len(self.candidates), sign * pooled_correlation(pairs), sample.sd, sample.n)


def find_groups(arguments: Sequence[str], by: str | None, metric: str, without_confirming: bool = False) -> list[Group]:
    """Find the groups of runs, at least two, that the arguments of `convline compare` name.

    Args:
        arguments: `A B`; or `A1 A2 vs B1 B2 vs C`, folders of each group; or, with `by`, folders of runs to be split.
        by: a setting: `model`, `lr` or `optimizer.lr`; with the values to take if not all: `model=lenet,dense`.
        metric: name of the metric that every run must have.
        without_confirming: leave out runs that were trained to confirm a comparison.
    Raises:
        UserError: there are fewer than two groups, or one has no finished run.
    """
    if by is not None:
        titles, sides = _split(records.find_runs([Path(argument) for argument in arguments]), by)
    else:
        paths = _sides(arguments)
        titles = [" ".join(map(str, side)) for side in paths]
        sides = [records.find_runs(side) for side in paths]
    if without_confirming:
        sides = [[run for run in side if not run.confirms] for side in sides]
    num_sides_of_run = Counter(run.folder.resolve() for side in sides for run in side)
    if shared := [folder for folder, count in num_sides_of_run.items() if count > 1]:
        raise UserError(f"two sides hold the run {min(shared)}; a run cannot be compared with itself.")
    rows = [chosen_configuration(title, side, metric) for title, side in zip(titles, sides, strict=True)]
    names = _names([row for row, _, _ in rows], titles)
    return [
        Group(name, row.runs, notes, candidates) for name, (row, notes, candidates) in zip(names, rows, strict=True)
    ]


def _sides(arguments: Sequence[str]) -> list[list[Path]]:
    sides: list[list[Path]] = [[]]
    for argument in arguments:
        if argument == AGAINST:
            sides.append([])
        else:
            sides[-1].append(Path(argument))
    if len(sides) > 1 and all(sides):
        return sides
    if len(sides) == 1 and len(sides[0]) == 2:
        return [[path] for path in sides[0]]
    raise UserError(
        f"compare takes two groups of runs or more, but got: {' '.join(arguments)}\n"
        "  Two folders (runs or sweeps):   convline compare A B\n"
        f"  Several folders on a side:      convline compare A1 A2 {AGAINST} B1 B2\n"
        f"  More than two sides:            convline compare A {AGAINST} B {AGAINST} C\n"
        "  One sweep, split by a setting:  convline compare SWEEP --by model"
    )


def _split(runs: list[RunRecord], by: str) -> tuple[list[str], list[list[RunRecord]]]:
    """Split runs into groups by the values of a setting."""
    setting, _, values = by.partition("=")
    # `data` is no column of a table, which holds the runs of one data set
    settings = {run.folder: {"data": run.data, **display_settings(run)} for run in runs if run.settings}
    keys = list(dict.fromkeys(key for flat in settings.values() for key in flat))
    matching = [key for key in keys if key == setting] or [key for key in keys if key.endswith(f".{setting}")]
    if len(matching) != 1:
        problem = f"is one of {', '.join(matching)}: type it in full" if matching else "is no setting of these runs"
        raise UserError(f"--by {setting}: this {problem}{nearest(setting, keys) if not matching else ''}.")
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        if run.folder in settings:
            groups.setdefault(setting_text(settings[run.folder].get(matching[0], ABSENT)), []).append(run)
    chosen = list(dict.fromkeys(values.split(","))) if values else list(groups)
    if len(chosen) < 2 or any(value not in groups for value in chosen):
        example = ",".join(list(groups)[:2]) if len(groups) > 1 else "A,B"
        raise UserError(
            f"--by {by}: this must give at least two groups, but {setting} has {plural(len(groups), 'value')} here: "
            f"{', '.join(groups)}.\n  Type two of them or more, such as: --by {setting}={example}"
        )
    return [f"{setting}={value}" for value in chosen], [groups[value] for value in chosen]


def chosen_configuration(
    title: str, side: list[RunRecord], metric: str
) -> tuple[Configuration, list[str], list[Configuration]]:
    """Select the configuration of a side, of several the best by validation.

    Args:
        title: name of the side, for messages.
        side: its runs.
        metric: name of the metric that will be compared.
    Returns:
        The configuration, notes, and all configurations of the side.
    Raises:
        UserError: no run is finished and has the metric, or the runs are on different data sets.
    """
    finished = [run for run in side if run.is_finished and metric in run.metrics]
    if not finished:
        raise UserError(f"{title}: none of {plural(len(side), 'run')} there is finished and has {metric}.")
    if len({run.data for run in finished}) > 1:
        names = sorted({run.data for run in finished})
        raise UserError(f"{title}: its runs are on different data sets ({', '.join(names)}); name those of one.")
    notes = []
    if len(side) > len(finished):
        notes.append(f"{plural(len(side) - len(finished), 'run')} not finished and left out")
    rows = configurations(finished, by_code=False)
    monitor = finished[0].monitor
    sign = 1 if lower_is_better(monitor) else -1
    best = min(rows, key=lambda row: (not row.sample(monitor).n, sign * row.sample(monitor).mean))
    if len(rows) > 1:
        keys = varying_keys([row.settings for row in rows])
        label = ", ".join(f"{name}={setting_text(best.value(key))}" for key, name in short_names(keys).items())
        notes.append(f"the best of {len(rows)} configurations by {monitor}: {label}")
    if best.repeats:
        notes.append(f"{plural(len(best.repeats), 'run')} with the seed of another one left out")
    if len({run.code for run in best.runs}) > 1:
        notes.append("its runs are of different versions of the code")
    return best, notes, rows


def _names(rows: list[Configuration], titles: list[str]) -> list[str]:
    """Name the sides by their varying settings, or by their folders if no setting varies."""
    keys = short_names(varying_keys([row.settings for row in rows]))
    if not keys:
        return titles
    return [", ".join(f"{name}={setting_text(row.value(key))}" for key, name in keys.items()) for row in rows]


@dataclass(frozen=True)
class Comparison:
    """Hold two groups of runs and the statistics of their difference.

    Args:
        metric: name of the metric, such as "test/acc".
        a, b: the two sides; differences are A − B.
        over_seeds: result of `welch` for all runs.
        by_seed: result of `paired` for runs of the same seed.
        needed: seeds of each side that would confirm the difference; None without a spread, or if 1,000 are too few.
        needed_at_most: the same if the difference is as large as the interval over seeds allows.
        images: comparison of the saved logits; None if a run has none.
        num_test_evaluations: number of evaluations on the test set.
    """

    metric: str
    a: Group
    b: Group
    over_seeds: Difference | None
    by_seed: Difference | None
    needed: int | None
    needed_at_most: int | None
    images: ImageComparison | None
    num_test_evaluations: int


def comparison(a: Group, b: Group, metric: str) -> Comparison:
    """Compute the statistics of the difference between two groups of runs.

    Args:
        a, b: the groups.
        metric: name of the metric with its split, such as "test/acc".
    Raises:
        UserError: the groups were evaluated on different images.
    """
    split, _, metric_name = metric.partition("/")
    # other metrics are no means over images, and other losses than cross-entropy are not computed from saved logits
    losses = {run.settings.get("loss._target_", CROSS_ENTROPY) for run in [*a.runs, *b.runs]}
    is_per_image = metric_name == "acc" or (metric_name == "loss" and losses == {CROSS_ENTROPY})
    images = compare_on_images(a.runs, b.runs, split, metric_name) if is_per_image else None
    if images is None:
        check_data([a, b])
    sample_a, sample_b = a.sample(metric), b.sample(metric)
    over_seeds = welch(sample_a, sample_b)
    return Comparison(
        metric=metric,
        a=a,
        b=b,
        over_seeds=over_seeds,
        by_seed=_by_seed(a, b, metric),
        needed=seeds_needed(over_seeds.value, sample_a.sd, sample_b.sd) if over_seeds else None,
        needed_at_most=seeds_needed(over_seeds.largest, sample_a.sd, sample_b.sd) if over_seeds else None,
        images=images,
        num_test_evaluations=count_test_evaluations([a, b]),
    )


def check_data(groups: Sequence[Group]) -> None:
    """Check that the runs of all groups are on the same data and the same split.

    Raises:
        UserError: they are not.
    """
    runs = [run for group in groups for run in group.runs]
    if len({(run.data, run.fingerprint) for run in runs}) > 1:
        names = ", ".join(sorted({run.data for run in runs}))
        raise UserError(f"the runs are not on the same data ({names}), or not on the same split.")


def count_test_evaluations(groups: Sequence[Group]) -> int:
    """Count the evaluations on the test sets of the runs of all groups, as their logs have them."""
    runs = [run for group in groups for run in group.runs]
    places = {(run.runs_dir, run.data) for run in runs}
    return sum(test_log.count(runs_dir, data) for runs_dir, data in places)


def _by_seed(a: Group, b: Group, metric: str) -> Difference | None:
    metric_of_seed = {str(run.seed): run.metrics[metric] for run in b.runs}
    pairs = [(run.metrics[metric], metric_of_seed[str(run.seed)]) for run in a.runs if str(run.seed) in metric_of_seed]
    return paired(Sample(tuple(x for x, _ in pairs)), Sample(tuple(y for _, y in pairs)))
