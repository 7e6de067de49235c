"""What the runs of a lesson gave, in numbers alone: as JSON it is small enough to be kept with the code."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convline.errors import UserError
from convline.records.provenance import is_outside
from convline.reporting.statistics import Sample

NUM_CLASSES = 10  # of the data of all lessons
TIME = "seconds/epoch"  # a column of metrics.csv


@dataclass(frozen=True)
class Arm:
    """One configuration.

    Args:
        label: what the lesson calls it.
        settings: what sets it apart, by setting, as typed.
        seeds: of its finished runs.
        metrics: of each, in their order: `{"test/acc": [0.991, 0.992]}`.
        curves: of each, by epoch: `{"train/acc": [[0.9, 0.95], [0.91, 0.94]]}`.
        parameters, macs: of its network.
        field: side of its receptive field before the first dense layer, in pixels; None if there is no such layer.
        epochs: trained.
        seconds: of training alone, of each run's fastest epoch; empty where it was not measured.
    """

    label: str
    settings: Mapping[str, str]
    seeds: Sequence[int]
    metrics: Mapping[str, Sequence[float]]
    curves: Mapping[str, Sequence[Sequence[float]]]
    parameters: int
    macs: int
    field: int | None
    epochs: int
    seconds: Sequence[float]

    @property
    def num_failed(self) -> int:
        """Seeds that have learned next to nothing: right on the test set at most twice as often as by chance."""
        return sum(value <= 2 / NUM_CLASSES for value in self.sample("test/acc").values)

    def sample(self, metric: str) -> Sample:
        """A metric over the seeds; "val/loss@3" is that of the third epoch."""
        name, at, epoch = metric.partition("@")
        if at:
            return Sample(
                tuple(curve[int(epoch) - 1] for curve in self.curves.get(name, ()) if len(curve) >= int(epoch))
            )
        return Sample(tuple(self.metrics.get(name, ())))


@dataclass(frozen=True)
class Results:
    """Of a lesson.

    Args:
        lesson: its name.
        arms: by label, in the lesson's order.
        made: on what, by the first run: date, versions, processor and graphics cards.
        words: settings that were given to every run beside the lesson's own.
    """

    lesson: str
    arms: dict[str, Arm] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    words: Sequence[str] = ()

    @property
    def num_seeds(self) -> int:
        """Runs of the configuration that has most."""
        return max((len(arm.seeds) for arm in self.arms.values()), default=0)

    @property
    def is_changed(self) -> bool:
        """Whether the words change more than where and on how many threads the runs were done."""
        keys = (word.partition("=")[0].lstrip("+~") for word in self.words)
        return any(key != "threads" and not is_outside(key) for key in keys)

    def arm(self, label: str) -> Arm:
        """A configuration; one without runs if it was not trained."""
        return self.arms.get(label) or Arm(label, {}, (), {}, {}, 0, 0, None, 0, ())

    def save(self, path: Path) -> None:
        """Write them as JSON, a configuration a line, so that changes can be read."""
        arms = ",\n".join("    " + json.dumps(_rounded(asdict(arm)), ensure_ascii=False) for arm in self.arms.values())
        made, words = json.dumps(self.made, ensure_ascii=False), json.dumps(list(self.words), ensure_ascii=False)
        head = f'  "lesson": "{self.lesson}",\n  "made": {made},\n  "words": {words},\n'
        text = f'{{\n{head}  "arms": [\n{arms}\n  ]\n}}\n'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def load(path: Path) -> Results | None:
    """What `save` wrote; None if there is no such file.

    Raises:
        UserError: it is damaged.
    """
    try:
        content = json.loads(path.read_text())
        arms = [Arm(**arm) for arm in content["arms"]]
        return Results(content["lesson"], {arm.label: arm for arm in arms}, content["made"], content["words"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}).\n  Put it back as it was, or delete it.") from error


def of_runs(
    label: str, settings: Mapping[str, str], folders: Sequence[Path], measured: Sequence[Any], field: int | None
) -> Arm:
    """An arm from its finished run directories.

    Args:
        label, settings, field: see `Arm`.
        folders: one a seed.
        measured: further metrics of each.
    """
    from convline.reporting.run_records import read

    found = [read(folder) for folder in folders]
    metrics = [{**run.metrics, **more} for run, more in zip(found, measured, strict=True)]
    names = [name for name in metrics[0] if all(name in each for each in metrics)] if metrics else []
    curve_names = ("train/acc", "train/loss", "val/acc", "val/loss")
    return Arm(
        label,
        dict(settings),
        [int(run.seed) for run in found],
        {name: [each[name] for each in metrics] for name in names},
        {name: [[epoch.get(name, math.nan) for epoch in run.epochs] for run in found] for name in curve_names},
        round(found[0].parameters),
        round(found[0].macs),
        field,
        len(found[0].epochs),
        [min(times) for run in found if (times := [epoch[TIME] for epoch in run.epochs if TIME in epoch])],
    )


def _rounded(value: Any) -> Any:
    """Seven digits: more than a float32 has."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


def environment(run_dir: Path) -> dict[str, str]:
    """Date, versions and machine of a run, for `Results.made`."""
    made = json.loads((run_dir / "environment.json").read_text())
    return {
        "date": made["started"][:10],
        "torch": made["packages"]["torch"].partition("+")[0],
        "processor": ", ".join([made["hardware"]["cpu"], *made["hardware"]["gpus"]]),
    }
