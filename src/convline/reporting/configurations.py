"""Aggregate runs over their seeds: one table for each data set, one row for each configuration."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from convline.errors import UserError
from convline.formatting import nearest, setting_text
from convline.records import test_log
from convline.records.provenance import is_excluded_from_hash
from convline.reporting.metric_text import lower_is_better
from convline.reporting.run_records import RunRecord
from convline.reporting.statistics import Sample

CODE = "code"  # the version of the code is no setting, but it separates configurations like one
ABSENT = "–"  # the configuration has no such setting: an optimizer without momentum
# An option of these stands for all settings of its group, or, for an experiment, for all there are.
GROUPS = ("experiment", "model", "optimizer", "scheduler", "trainer", "callbacks")


@dataclass
class Configuration:
    """Runs that differ in nothing but their seed.

    Args:
        runs: those that are finished, one a seed.
        others: those that are not.
        repeats: finished ones whose seed is among `runs` already: they are the same experiment, and add nothing.
    """

    runs: list[RunRecord] = field(default_factory=list)
    others: list[RunRecord] = field(default_factory=list)
    repeats: list[RunRecord] = field(default_factory=list)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Options, settings and code by key; see `display_settings`."""
        return display_settings((self.runs or self.others)[0])

    def value(self, key: str) -> Any:
        """Return the value of a setting; "–" if this configuration does not have it."""
        value = self.settings.get(key, ABSENT)
        return ABSENT if key == "experiment" and value is None else value

    def sample(self, metric: str) -> Sample:
        """Return a metric of the finished runs, in the order of their seeds."""
        return Sample(tuple(run.metrics[metric] for run in self.runs if metric in run.metrics))

    def mean(self, attribute: str) -> float:
        """Average `seconds`, `parameters` or `macs` over the finished runs that have it; nan if none has."""
        known = [value for run in self.runs if not math.isnan(value := getattr(run, attribute))]
        return sum(known) / len(known) if known else math.nan

    def statuses(self) -> dict[str, int]:
        """Count the runs by status: `{"finished": 4, "failed": 1}`."""
        return dict(Counter(run.status for run in [*self.runs, *self.others]))


@dataclass(frozen=True)
class ReportTable:
    """The configurations that were run on one data set, the best by validation first.

    Args:
        title: the data set, and which version of it if there are several.
        data: the data set's name.
        metric: the validation metric that sorts.
        columns: the settings that differ, with their short names.
        rows: those without a value last.
        unfinished: every run that is not finished, known configuration or not.
        num_test_evaluations: how often the test set was evaluated.
    """

    title: str
    data: str
    metric: str
    columns: dict[str, str]
    rows: list[Configuration]
    unfinished: list[RunRecord]
    num_test_evaluations: int

    @property
    def test_metric(self) -> str:
        """The same metric on the test set; it never sorts."""
        return f"test/{self.metric.partition('/')[2]}"

    @property
    def measured(self) -> list[Configuration]:
        """The rows that have a value of the metric."""
        return [row for row in self.rows if row.sample(self.metric).n]

    def label(self, row: Configuration) -> str:
        """Name a row by its varying settings: "model=lenet, lr=0.1"."""
        values = {name: row.value(key) for key, name in self.columns.items()}
        return (
            ", ".join(f"{name}={setting_text(value)}" for name, value in values.items() if value != ABSENT)
            or self.title
        )


def tables(found: Sequence[RunRecord], metric: str | None = None) -> list[ReportTable]:
    """Aggregate runs into one table for each data set.

    Args:
        found: runs of any kind.
        metric: that sorts; None: the one that chose each data set's checkpoints.
    Raises:
        UserError: no run has the metric, or it is one of the test set.
    """
    if metric is not None:
        _check_metric(metric, found)
    by_data = _by_data(found)
    names = Counter(name for name, _ in by_data)
    made = []
    for (name, fingerprint), group in by_data.items():
        watched = Counter(run.monitor for run in group if run.is_finished)
        chosen = metric or (watched.most_common(1)[0][0] if watched else "val/acc")
        title = f"{name} (data {fingerprint[:8]})" if names[name] > 1 and fingerprint else name
        made.append(_table(title, name, chosen, group))
    return made


def _check_metric(metric: str, found: Sequence[RunRecord]) -> None:
    known = sorted({key for run in found for key in run.metrics if not key.startswith("test/")})
    if metric.startswith("test/"):
        raise UserError(
            f"--metric {metric} would choose by the test set, and its metrics would mean nothing any more.\n"
            f"  The table shows them all the same. Choose by one of: {', '.join(known)}"
        )
    if metric not in known:
        raise UserError(f"--metric {metric}: no run has it{nearest(metric, known)}.\n  There are: {', '.join(known)}")


def _by_data(found: Sequence[RunRecord]) -> dict[tuple[str, str], list[RunRecord]]:
    """Group runs by name and fingerprint of their data; without a fingerprint a run joins the newest of that name."""
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for run in sorted(found, key=lambda run: (run.fingerprint == "", run.data, run.started)):
        key = (run.data, run.fingerprint)
        if not run.fingerprint:
            key = next((known for known in reversed(groups) if known[0] == run.data), key)
        groups.setdefault(key, []).append(run)
    return groups


def _table(title: str, data: str, metric: str, group: list[RunRecord]) -> ReportTable:
    sign = 1 if lower_is_better(metric) else -1
    rows = configurations(group)
    rows.sort(key=lambda row: (not row.sample(metric).n, sign * row.sample(metric).mean))
    homes = {run.home for run in group}
    return ReportTable(
        title=title,
        data=data,
        metric=metric,
        columns=short_names(varying_keys([row.settings for row in rows])),
        rows=rows,
        unfinished=[run for run in group if not run.is_finished],
        num_test_evaluations=sum(test_log.count(home, data) for home in homes),
    )


def configurations(group: Iterable[RunRecord], by_code: bool = True) -> list[Configuration]:
    """Aggregate runs on the same data that differ only in their seed.

    Args:
        group: the runs; of those with the same seed the newest counts.
        by_code: whether runs of different versions of the code are different.
    """
    made: dict[tuple[str, str], Configuration] = {}
    for run in sorted(group, key=lambda run: (run.code != "", run.started), reverse=True):  # unknown code last
        if not run.settings:
            continue
        key = (repr(sorted(identity_settings(run).items())), run.code if by_code else "")
        if by_code and not run.code:  # it ended before it was recorded: take it to the newest code
            key = next((known for known in made if known[0] == key[0]), key)
        row = made.setdefault(key, Configuration())
        if not run.is_finished:
            row.others.append(run)
        elif any(run.seed == other.seed for other in row.runs):
            row.repeats.append(run)
        else:
            row.runs.append(run)
    for row in made.values():
        row.runs.sort(key=lambda run: (str(type(run.seed)), run.seed))
    return list(made.values())


def identity_settings(run: RunRecord) -> dict[str, Any]:
    """Return the settings that define a configuration: all but the seed and those that change no result."""
    return {key: value for key, value in run.settings.items() if key != "seed" and not is_excluded_from_hash(key)}


def display_settings(run: RunRecord) -> dict[str, Any]:
    """Return everything that a table can show of a configuration: options of groups, settings, version of the code.

    `{"model": "lenet", …, "optimizer.lr": 0.1, …, "code": "7fcd378"}`.
    """
    options = {group: run.choices.get(group) for group in GROUPS if group in run.choices or group == "experiment"}
    return {**options, **identity_settings(run), **({CODE: run.code} if run.code else {})}


def varying_keys(configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ between configurations, unless the option of their group explains it.

    Two models differ in their patterns, but a column `model` tells that; if two configurations of one model differ in
    the pattern, then that is a column too. Of keys with the same values everywhere only the first is named.

    Args:
        configurations: as `display_settings` gives them.
    """
    keys = list(dict.fromkeys(key for configuration in configurations for key in configuration))
    keys.sort(key=lambda key: GROUPS.index(key) if key in GROUPS else len(GROUPS) + (key == CODE))
    found: dict[tuple[str, ...], str] = {}
    for key in keys:
        group = key.partition(".")[0]
        explained_by = [name for name in ("experiment", group) if name in GROUPS and name != key]
        alike: dict[tuple[str, ...], set[str]] = {}
        for configuration in configurations:
            if key == CODE and CODE not in configuration:
                continue  # not known, which is no difference
            options = tuple(str(configuration.get(name)) for name in explained_by)
            alike.setdefault(options, set()).add(repr(configuration.get(key, ABSENT)))
        if any(len(values) > 1 for values in alike.values()):
            found.setdefault(tuple(repr(c.get(key, ABSENT)) for c in configurations), key)
    return list(found.values())


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Shorten each key to as few of its last parts as keep it unique: `{"optimizer.lr": "lr"}`."""
    keys = list(keys)
    names = {}
    for key in keys:
        parts = key.split(".")
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[-length:])
            if sum(other == name or other.endswith(f".{name}") for other in keys) == 1:
                break
        names[key] = name
    return names
