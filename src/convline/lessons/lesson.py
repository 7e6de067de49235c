"""Describe a lesson: the sweeps that it trains, the claims that it checks, and the figures that it draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from convline.lessons.claims import Claim
from convline.lessons.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from convline.training.loaded_run import LoadedRun

ONE_CHOICE_OF_IMAGES = " All runs use one choice of images: the spread over seeds is that of weights and order alone."

DrawFigure = Callable[[Results, Mapping[str, Path]], "Figure"]
MeasureRun = Callable[["LoadedRun"], dict[str, float]]


@dataclass(frozen=True)
class LessonSweep:
    """Describe one sweep of a lesson.

    Args:
        experiment: name of a file in conf/experiment.
        labels: names of its configurations, in the order of the sweep.
        name: name of its folder; by default the last part of the experiment's name.
        overrides: further overrides of its command.
    """

    experiment: str
    labels: tuple[str, ...]
    name: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Name the folder of the sweep's runs inside the folder of the lesson."""
        return self.name or self.experiment.rpartition("/")[2]

    def arguments(self, num_seeds: int) -> list[str]:
        """List the arguments that follow `python train.py` on the command line of the sweep."""
        return ["-m", f"experiment={self.experiment}", *self.overrides, f"seed=range({num_seeds})"]


@dataclass(frozen=True)
class Lesson:
    """Describe a claim, a system or an example of a tutorial that Convline reproduces.

    Args:
        name: name on the command line.
        title: title of its page.
        description: a few sentences on the subject of the lesson, with the source.
        claims: returns the claims to check. A function, because some claims take time to build.
        sweeps: sweeps to train; empty if the lesson is arithmetic only.
        figures: a caption and a drawing function for each file name. The function receives the results, and for each
            label the run directory of the configuration's first seed.
        choices: settings that were chosen because the source does not give them or Convline differs from it.
        num_seeds: seeds of each configuration, by default.
        measure: returns further metrics of a trained run, if the lesson needs any.
    """

    name: str
    title: str
    description: str
    claims: Callable[[], list[Claim]]
    sweeps: tuple[LessonSweep, ...] = ()
    figures: Mapping[str, tuple[str, DrawFigure]] = field(default_factory=dict)
    choices: str = ""
    num_seeds: int = 3
    measure: MeasureRun | None = None
