"""Hold the results of a lesson's runs as plain numbers, small enough to be stored in the repository as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convline.errors import UserError
from convline.records import directory
from convline.records.identity import is_excluded_from_hash
from convline.reporting.statistics import Sample

NUM_CLASSES = 10  # of the data sets of all lessons
EPOCH_SECONDS = "seconds/epoch"  # a column of metrics.csv


@dataclass(frozen=True)
class ConfigurationResults:
    """Hold the results of all seeds of one configuration of a lesson.

    Args:
        label: name of the configuration in the lesson.
        settings: keys and values in which this configuration differs from the others of its sweep, as typed.
        seeds: seeds of the finished runs.
        metrics: a list for each metric, with one value per seed: `{"test/acc": [0.991, 0.992]}`.
        curves: a list for each metric, with one list of epochs per seed: `{"train/acc": [[0.9, 0.95], [0.91, 0.94]]}`.
        num_parameters, macs: parameters and multiply-accumulates (one image, forward pass) of the network.
        receptive_field: side of the receptive field before the first dense layer, in pixels; None if no layer has one.
        num_epochs: trained epochs of each run.
        epoch_seconds: training time of the fastest epoch of each run; empty if it was not measured.
    """

    label: str
    settings: Mapping[str, str]
    seeds: Sequence[int]
    metrics: Mapping[str, Sequence[float]]
    curves: Mapping[str, Sequence[Sequence[float]]]
    num_parameters: int
    macs: int
    receptive_field: int | None
    num_epochs: int
    epoch_seconds: Sequence[float]

    @property
    def num_failed(self) -> int:
        """Count the seeds whose test accuracy is at most twice the accuracy of random predictions."""
        return sum(value <= 2 / NUM_CLASSES for value in self.sample("test/acc").values)

    def sample(self, metric: str) -> Sample:
        """Collect a metric over the seeds; "val/loss@3" is the validation loss of the third epoch."""
        name, at, epoch = metric.partition("@")
        if not at:
            return Sample(tuple(self.metrics.get(name, ())))
        index = int(epoch) - 1
        return Sample(tuple(curve[index] for curve in self.curves.get(name, ()) if len(curve) > index))


@dataclass(frozen=True)
class Results:
    """Hold the results of all configurations of a lesson.

    Args:
        lesson: name of the lesson.
        configurations: results by label, in the order of the lesson.
        environment: date, torch version, and processor with graphics cards of the first run.
        overrides: command-line overrides that were given to every run in addition to those of the lesson.
    """

    lesson: str
    configurations: dict[str, ConfigurationResults] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    overrides: Sequence[str] = ()

    @property
    def num_seeds(self) -> int:
        """Return the largest number of seeds of a configuration."""
        return max((len(configuration.seeds) for configuration in self.configurations.values()), default=0)

    @property
    def has_other_settings(self) -> bool:
        """Return whether the overrides change the results, not only where or on how many threads a run trains."""
        keys = (override.partition("=")[0].lstrip("+~") for override in self.overrides)
        return any(key != "threads" and not is_excluded_from_hash(key) for key in keys)

    def configuration(self, label: str) -> ConfigurationResults:
        """Look up a configuration; one that was not trained has no seeds and no metrics."""
        return self.configurations.get(label) or ConfigurationResults(label, {}, (), {}, {}, 0, 0, None, 0, ())

    def save(self, path: Path) -> None:
        """Write the results as JSON, one configuration a line, so that a diff shows which ones changed."""
        configurations = [asdict(configuration) for configuration in self.configurations.values()]
        lines = ["    " + json.dumps(_rounded(fields), ensure_ascii=False) for fields in configurations]
        environment = json.dumps(self.environment, ensure_ascii=False)
        overrides = json.dumps(list(self.overrides), ensure_ascii=False)
        head = f'  "lesson": "{self.lesson}",\n  "environment": {environment},\n  "overrides": {overrides},\n'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{\n{head}  "configurations": [\n' + ",\n".join(lines) + "\n  ]\n}\n")


def load_results(path: Path) -> Results | None:
    """Read a file that `Results.save` wrote; None if there is no such file.

    Raises:
        UserError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text())
        configurations = [ConfigurationResults(**fields) for fields in content["configurations"]]
        by_label = {configuration.label: configuration for configuration in configurations}
        return Results(content["lesson"], by_label, content["environment"], content["overrides"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}).\n  Put it back as it was, or delete it.") from error


def read_configuration(
    label: str,
    settings: Mapping[str, str],
    run_dirs: Sequence[Path],
    extra_metrics: Sequence[Mapping[str, float]],
    receptive_field: int | None,
) -> ConfigurationResults:
    """Read the finished runs of one configuration.

    Args:
        label, settings, receptive_field: see `ConfigurationResults`.
        run_dirs: run directories, one per seed.
        extra_metrics: further metrics of each run, which the run itself did not record.
    """
    from convline.reporting.run_records import read_run  # imported late because importing is slow

    runs = [read_run(run_dir) for run_dir in run_dirs]
    metrics = [{**run.metrics, **extra} for run, extra in zip(runs, extra_metrics, strict=True)]
    names = [name for name in metrics[0] if all(name in run_metrics for run_metrics in metrics)] if metrics else []
    curve_names = ("train/acc", "train/loss", "val/acc", "val/loss")
    epoch_seconds = [[epoch[EPOCH_SECONDS] for epoch in run.epochs if EPOCH_SECONDS in epoch] for run in runs]
    return ConfigurationResults(
        label,
        dict(settings),
        [int(run.seed) for run in runs],
        {name: [run_metrics[name] for run_metrics in metrics] for name in names},
        {name: [[epoch.get(name, math.nan) for epoch in run.epochs] for run in runs] for name in curve_names},
        round(runs[0].parameters),
        round(runs[0].macs),
        receptive_field,
        len(runs[0].epochs),
        [min(seconds) for seconds in epoch_seconds if seconds],
    )


def read_environment(run_dir: Path) -> dict[str, str]:
    """Read date, versions and machine of a run for `Results.environment`."""
    environment = directory.read_environment(run_dir)
    hardware = environment.get("hardware", {})
    return {
        "date": environment.get("started", "")[:10],
        "torch": environment.get("packages", {}).get("torch", "").partition("+")[0],
        "processor": ", ".join(map(str, [hardware.get("cpu", ""), *hardware.get("gpus", ())])),
    }


def _rounded(value: Any) -> Any:
    """Round all floats to seven significant digits, which is as many as a float32 has."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
