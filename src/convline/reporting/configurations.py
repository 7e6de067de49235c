"""Runs -> tables: one a data set, one row a configuration, its seeds folded into one figure."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from convline.errors import UserError, nearest
from convline.records import test_log as ledger
from convline.reporting.metric_text import lower_is_better, show
from convline.reporting.run_records import Run
from convline.reporting.settings import ABSENT, differing, named, short_names, told_apart
from convline.reporting.statistics import Sample


@dataclass
class Configuration:
    """Runs that differ in nothing but their seed.

    Args:
        runs: those that are finished, one a seed.
        others: those that are not.
        repeats: finished ones whose seed is among `runs` already: they are the same experiment, and add nothing.
    """

    runs: list[Run] = field(default_factory=list)
    others: list[Run] = field(default_factory=list)
    repeats: list[Run] = field(default_factory=list)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Options, settings and code by key; see `named`."""
        return named((self.runs or self.others)[0])

    def value(self, key: str) -> Any:
        """Of a setting; "–" if this configuration has none of that name."""
        value = self.settings.get(key, ABSENT)
        return ABSENT if key == "experiment" and value is None else value

    def sample(self, metric: str) -> Sample:
        """A metric of the finished runs, in the order of their seeds."""
        return Sample(tuple(run.metrics[metric] for run in self.runs if metric in run.metrics))

    def mean(self, attribute: str) -> float:
        """Of `seconds`, `parameters` or `macs` over the finished runs that know it; nan if none does."""
        known = [value for run in self.runs if not math.isnan(value := getattr(run, attribute))]
        return sum(known) / len(known) if known else math.nan

    def statuses(self) -> dict[str, int]:
        """How many runs are in each status: `{"finished": 4, "failed": 1}`."""
        return dict(Counter(run.status for run in [*self.runs, *self.others]))


@dataclass(frozen=True)
class Table:
    """The configurations that were run on one data set, the best by validation first.

    Args:
        title: the data set, and which version of it if there are several.
        data: the data set's name.
        metric: the validation metric that sorts.
        columns: the settings that differ, with their short names.
        rows: those without a figure last.
        unfinished: every run that is not finished, known configuration or not.
        looks: how often the data set's test set was looked at.
    """

    title: str
    data: str
    metric: str
    columns: dict[str, str]
    rows: list[Configuration]
    unfinished: list[Run]
    looks: int

    @property
    def test_metric(self) -> str:
        """The same figure on the test set, which sorts nothing."""
        return f"test/{self.metric.partition('/')[2]}"

    @property
    def measured(self) -> list[Configuration]:
        """The rows that have a figure."""
        return [row for row in self.rows if row.sample(self.metric).n]

    def label(self, row: Configuration) -> str:
        """What sets a row apart from the others: "model=lenet, lr=0.1"."""
        values = {name: row.value(key) for key, name in self.columns.items()}
        return ", ".join(f"{name}={show(value)}" for name, value in values.items() if value != ABSENT) or self.title


def tables(found: Sequence[Run], metric: str | None = None) -> list[Table]:
    """Fold runs into a table for each data set.

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


def _check_metric(metric: str, found: Sequence[Run]) -> None:
    known = sorted({key for run in found for key in run.metrics if not key.startswith("test/")})
    if metric.startswith("test/"):
        raise UserError(
            f"--metric {metric} would choose by the test set, and its figures would mean nothing any more.\n"
            f"  The table shows them all the same. Choose by one of: {', '.join(known)}"
        )
    if metric not in known:
        raise UserError(f"--metric {metric}: no run has it{nearest(metric, known)}.\n  There are: {', '.join(known)}")


def _by_data(found: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    """Runs by name and fingerprint of their data; those that ended before they had one go with others of the name."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(found, key=lambda run: (run.fingerprint == "", run.data, run.started)):
        key = (run.data, run.fingerprint)
        if not run.fingerprint:
            key = next((known for known in reversed(groups) if known[0] == run.data), key)
        groups.setdefault(key, []).append(run)
    return groups


def _table(title: str, data: str, metric: str, group: list[Run]) -> Table:
    sign = 1 if lower_is_better(metric) else -1
    rows = configurations(group)
    rows.sort(key=lambda row: (not row.sample(metric).n, sign * row.sample(metric).mean))
    homes = {run.home for run in group}
    return Table(
        title=title,
        data=data,
        metric=metric,
        columns=short_names(differing([row.settings for row in rows])),
        rows=rows,
        unfinished=[run for run in group if not run.is_finished],
        looks=sum(ledger.count(home, data) for home in homes),
    )


def configurations(group: Iterable[Run], by_code: bool = True) -> list[Configuration]:
    """Fold runs on the same data that differ in nothing but their seed.

    Args:
        group: the runs; of those with the same seed the newest counts.
        by_code: whether runs of different versions of the code are different.
    """
    made: dict[tuple[str, str], Configuration] = {}
    for run in sorted(group, key=lambda run: (run.code != "", run.started), reverse=True):  # unknown code last
        if not run.settings:
            continue
        key = (repr(sorted(told_apart(run).items())), run.code if by_code else "")
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
