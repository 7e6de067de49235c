"""Aggregate runs over their seeds: one table for each data set, one row for each configuration."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from convline.config.metrics import lower_is_better
from convline.errors import UserError
from convline.formatting import nearest, setting_text
from convline.records import test_log
from convline.records.identity import is_excluded_from_hash
from convline.reporting.run_records import RunRecord
from convline.reporting.statistics import Sample

CODE = "code"  # the version of the code is no setting, but it separates configurations like one
ABSENT = "–"  # the configuration has no such setting: an optimizer without momentum
# An option of these stands for all settings of its group, or, for an experiment, for all there are.
GROUPS = ("experiment", "model", "optimizer", "scheduler", "trainer", "callbacks")


@dataclass
class Configuration:
    """Hold the runs that differ only in their seed.

    Args:
        runs: finished runs, one per seed.
        others: runs that are not finished.
        repeats: finished runs whose seed is in `runs` already. They repeat the same experiment and do not count.
    """

    runs: list[RunRecord] = field(default_factory=list)
    others: list[RunRecord] = field(default_factory=list)
    repeats: list[RunRecord] = field(default_factory=list)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Return options, settings and code version by key; see `display_settings`."""
        return display_settings((self.runs or self.others)[0])

    def value(self, key: str) -> Any:
        """Return the value of a setting; "–" if this configuration does not have it."""
        value = self.settings.get(key, ABSENT)
        return ABSENT if key == "experiment" and value is None else value

    def sample(self, metric: str) -> Sample:
        """Collect a metric of the finished runs, in the order of their seeds."""
        return Sample(tuple(run.metrics[metric] for run in self.runs if metric in run.metrics))

    def num_images(self, metric: str) -> int | None:
        """Return the number of images of which an accuracy is a share; None of other metrics, or if not known."""
        split, _, name = metric.partition("/")
        counts = {run.num_images.get(split) for run in self.runs if metric in run.metrics}
        return counts.pop() if name == "acc" and len(counts) == 1 else None

    def mean(self, attribute: str) -> float:
        """Average `seconds`, `parameters` or `macs` over the finished runs that have it; nan if none has."""
        known = [value for run in self.runs if not math.isnan(value := getattr(run, attribute))]
        return sum(known) / len(known) if known else math.nan

    def statuses(self) -> dict[str, int]:
        """Count the runs by status: `{"finished": 4, "failed": 1}`."""
        return dict(Counter(run.status for run in [*self.runs, *self.others]))


@dataclass(frozen=True)
class ReportTable:
    """Hold the configurations that were trained on one data set, the best by validation first.

    Args:
        title: name of the data set, and its fingerprint if several versions have that name.
        data: name of the data set.
        metric: validation metric by which the rows are sorted.
        columns: keys of the settings that vary, with their short names.
        rows: the configurations; those without a value of the metric come last.
        unfinished: all runs that are not finished, even if their configuration is not known.
        num_test_evaluations: number of evaluations on the test set.
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
        """Return the name of the metric on the test set. Tables are never sorted by it."""
        return f"test/{self.metric.partition('/')[2]}"

    @property
    def shown_metrics(self) -> list[str]:
        """Return the metrics with a column: the one that sorts, that of the test, and those that `metrics` added."""
        measured = {name for row in self.rows for run in row.runs for name in run.metrics if name.startswith("test/")}
        usual = {"test/acc", "test/loss", self.test_metric}
        added = sorted(name for name in measured - usual if not name.endswith("_tta"))
        return [self.metric, self.test_metric, *added]

    @property
    def measured_rows(self) -> list[Configuration]:
        """Return the rows that have a value of the metric."""
        return [row for row in self.rows if row.sample(self.metric).n]

    def label(self, row: Configuration) -> str:
        """Name a row by its varying settings: "model=lenet, lr=0.1"."""
        values = {name: row.value(key) for key, name in self.columns.items()}
        return (
            ", ".join(f"{name}={setting_text(value)}" for name, value in values.items() if value != ABSENT)
            or self.title
        )


def tables(runs: Sequence[RunRecord], metric: str | None = None) -> list[ReportTable]:
    """Aggregate runs into one table for each data set.

    Args:
        runs: finished or not.
        metric: the validation metric that sorts the rows; None: the one that chose each data set's checkpoints.
    Raises:
        UserError: no run has the metric, or it is one of the test set.
    """
    if metric is not None:
        _check_metric(metric, runs)
    by_data = _by_data(runs)
    names = Counter(name for name, _ in by_data)
    report_tables = []
    for (name, fingerprint), group in by_data.items():
        monitors = Counter(run.monitor for run in group if run.is_finished)
        sort_metric = metric or (monitors.most_common(1)[0][0] if monitors else "val/acc")
        title = f"{name} (data {fingerprint[:8]})" if names[name] > 1 and fingerprint else name
        report_tables.append(_table(title, name, sort_metric, group))
    return report_tables


def _check_metric(metric: str, runs: Sequence[RunRecord]) -> None:
    known = sorted({key for run in runs for key in run.metrics if not key.startswith("test/")})
    if metric.startswith("test/"):
        raise UserError(
            f"--metric {metric} would choose by the test set, and its metrics would mean nothing any more.\n"
            f"  The table shows them all the same. Choose by one of: {', '.join(known)}"
        )
    if metric not in known:
        raise UserError(f"--metric {metric}: no run has it{nearest(metric, known)}.\n  There are: {', '.join(known)}")


def _by_data(runs: Sequence[RunRecord]) -> dict[tuple[str, str], list[RunRecord]]:
    """Group runs by name and fingerprint of their data; one without a fingerprint joins the newest of that name."""
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: (run.fingerprint == "", run.data, run.started)):
        key = (run.data, run.fingerprint)
        if not run.fingerprint:
            key = next((known for known in reversed(groups) if known[0] == run.data), key)
        groups.setdefault(key, []).append(run)
    return groups


def _table(title: str, data: str, metric: str, group: list[RunRecord]) -> ReportTable:
    sign = 1 if lower_is_better(metric) else -1
    rows = configurations(group)
    rows.sort(key=lambda row: (not row.sample(metric).n, sign * row.sample(metric).mean))
    runs_dirs = {run.runs_dir for run in group if not run.host}
    # the log of another folder cannot be read: each of its finished runs was evaluated once at least
    num_in_others = sum(run.is_finished for run in group if run.host)
    return ReportTable(
        title=title,
        data=data,
        metric=metric,
        columns=short_names(varying_keys([row.settings for row in rows])),
        rows=rows,
        unfinished=[run for run in group if not run.is_finished],
        num_test_evaluations=num_in_others + sum(test_log.count(runs_dir, data) for runs_dir in runs_dirs),
    )


def configurations(group: Iterable[RunRecord], by_code: bool = True) -> list[Configuration]:
    """Aggregate runs on the same data that differ only in their seed.

    Args:
        group: runs on one data set; of runs with the same seed the newest counts.
        by_code: whether runs of different code versions are different configurations.
    """
    rows: dict[tuple[str, str], Configuration] = {}
    newest: dict[str, tuple[str, str]] = {}  # by settings, the row of the newest code
    seeds: set[tuple[tuple[str, str], str]] = set()  # that each row has
    for run in sorted(group, key=lambda run: (run.code != "", run.started), reverse=True):  # unknown code last
        if not run.settings:
            continue
        key = (repr(sorted(identity_settings(run).items())), run.code if by_code else "")
        if by_code and not run.code:  # it ended before it was recorded: take it to the newest code
            key = newest.get(key[0], key)
        newest.setdefault(key[0], key)
        row = rows.setdefault(key, Configuration())
        if not run.is_finished:
            row.others.append(run)
        elif (key, repr(run.seed)) in seeds:
            row.repeats.append(run)
        else:
            seeds.add((key, repr(run.seed)))
            row.runs.append(run)
    for row in rows.values():
        row.runs.sort(key=lambda run: (str(type(run.seed)), run.seed))
    return list(rows.values())


def identity_settings(run: RunRecord) -> dict[str, Any]:
    """Return the settings that define a configuration: all except the seed and settings that change no result."""
    return {key: value for key, value in run.settings.items() if key != "seed" and not is_excluded_from_hash(key)}


def display_settings(run: RunRecord) -> dict[str, Any]:
    """Return all columns that a table can show of a run: options of config groups, settings, code version.

    An example is `{"model": "lenet", …, "optimizer.lr": 0.1, …, "code": "7fcd378"}`.
    """
    options = {group: run.choices.get(group) for group in GROUPS if group in run.choices or group == "experiment"}
    return {**options, **identity_settings(run), **({CODE: run.code} if run.code else {})}


def varying_keys(configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ between configurations with the same option of their config group.

    Two models have different patterns, but the column `model` shows that already; `model.pattern` is a key only if two
    configurations of one model have different patterns. Of keys with equal values in all configurations only the first
    is returned.

    Args:
        configurations: results of `display_settings`.
    """
    keys = list(dict.fromkeys(key for configuration in configurations for key in configuration))
    keys.sort(key=lambda key: GROUPS.index(key) if key in GROUPS else len(GROUPS) + (key == CODE))
    key_of_values: dict[tuple[str, ...], str] = {}
    for key in keys:
        group = key.partition(".")[0]
        explained_by = [name for name in ("experiment", group) if name in GROUPS and name != key]
        values_by_option: dict[tuple[str, ...], set[str]] = {}
        for configuration in configurations:
            if key == CODE and CODE not in configuration:
                continue  # not known, which is no difference
            options = tuple(str(configuration.get(name)) for name in explained_by)
            values_by_option.setdefault(options, set()).add(repr(configuration.get(key, ABSENT)))
        if any(len(values) > 1 for values in values_by_option.values()):
            key_of_values.setdefault(tuple(repr(c.get(key, ABSENT)) for c in configurations), key)
    return list(key_of_values.values())


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Shorten each key to the fewest last parts that are unique among the keys: `{"optimizer.lr": "lr"}`."""
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
