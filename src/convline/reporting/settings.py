"""Which settings tell configurations apart, and what they are called in a table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from convline.records.provenance import is_outside
from convline.reporting.run_records import Run

CODE = "code"  # not a setting, but it tells runs apart as one would
ABSENT = "–"  # the configuration has no such setting: an optimizer without momentum
# An option of these stands for all settings of its group, or, for an experiment, for all there are.
GROUPS = ("experiment", "model", "optimizer", "scheduler", "trainer", "callbacks")


def told_apart(run: Run) -> dict[str, Any]:
    """What makes a run's configuration: all settings but the seed and those that change no result."""
    return {key: value for key, value in run.settings.items() if key != "seed" and not is_outside(key)}


def named(run: Run) -> dict[str, Any]:
    """What a table can show of a run's configuration: options of groups first, then settings, then the code's version.

    `{"model": "lenet", …, "optimizer.lr": 0.1, …, "code": "7fcd378"}`.
    """
    options = {group: run.choices.get(group) for group in GROUPS if group in run.choices or group == "experiment"}
    return {**options, **told_apart(run), **({CODE: run.code} if run.code else {})}


def differing(configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values differ between configurations, unless the option of their group says it already.

    Two models differ in their patterns, but a column `model` tells that; if two configurations of one model differ in
    the pattern, then that is a column too. Of keys with the same values everywhere only the first is named.

    Args:
        configurations: as `named` gives them.
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
    """The last parts of each key, as many as are needed to tell them apart: `{"optimizer.lr": "lr"}`."""
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
