"""What the runs of a lesson gave, in numbers alone: as JSON it is small enough to be kept with the code."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convline import provenance
from convline.errors import UserError
from convline.reporting.statistics import Sample


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
        seconds: of each run: training, validation and test.
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
        made: on what: date, versions, processor.
    """

    lesson: str
    arms: dict[str, Arm] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)

    def arm(self, label: str) -> Arm:
        """A configuration; one without runs if it was not trained."""
        return self.arms.get(label) or Arm(label, {}, (), {}, {}, 0, 0, None, 0, ())

    def save(self, path: Path) -> None:
        """Write them as JSON, a configuration a line, so that changes can be read."""
        arms = ",\n".join("    " + json.dumps(_rounded(asdict(arm)), ensure_ascii=False) for arm in self.arms.values())
        made = json.dumps(self.made, ensure_ascii=False)
        text = f'{{\n  "lesson": "{self.lesson}",\n  "made": {made},\n  "arms": [\n{arms}\n  ]\n}}\n'
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
        return Results(content["lesson"], {arm.label: arm for arm in arms}, content["made"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); type: convline reproduce {path.stem}") from error


def of_runs(
    label: str, settings: Mapping[str, str], folders: Sequence[Path], measured: Sequence[Any], field: int | None
) -> Arm:
    """An arm from its finished run directories.

    Args:
        label, settings, field: see `Arm`.
        folders: one a seed.
        measured: further metrics of each.
    """
    from convline.reporting.records import read

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
        [run.seconds for run in found],
    )


def _rounded(value: Any) -> Any:
    """Seven digits: more than a float32 has."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


def environment() -> dict[str, str]:
    """Date, versions and processor, for `Results.made`."""
    made = provenance.environment("")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "torch": made["packages"]["torch"].partition("+")[0],
        "processor": str(made["hardware"]["cpu"]),
    }
