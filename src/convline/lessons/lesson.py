"""What a lesson is: its commands, its claims, its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from convline.lessons.claims import Claim
from convline.lessons.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from convline.training.loaded_run import TrainedRun

Draw = Callable[[Results, Mapping[str, Path]], "Figure"]
Measure = Callable[["TrainedRun"], dict[str, float]]


@dataclass(frozen=True)
class Study:
    """One sweep of a lesson.

    Args:
        experiment: of conf/experiment.
        labels: what its configurations are called, in the order of the sweep.
        name: of its folder; the experiment's last word if left out.
        words: further ones of its command.
    """

    experiment: str
    labels: tuple[str, ...]
    name: str = ""
    words: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Where its runs are, below the lesson's."""
        return self.name or self.experiment.rpartition("/")[2]

    def command(self, seeds: int) -> list[str]:
        """The words after `python train.py`."""
        return ["-m", f"experiment={self.experiment}", *self.words, f"seed=range({seeds})"]


@dataclass(frozen=True)
class Lesson:
    """A claim, a system or an example of a tutorial, done again.

    Args:
        name: what is typed.
        title: in words.
        about: what it shows, in a sentence or two, with its source.
        studies: what is trained; empty for arithmetic.
        claims: what is checked; made when asked for.
        figures: by file name, with a caption each; they are given the results and, by label, the directory of each
            configuration's first run.
        fidelity: what was chosen where the source is silent or Convline differs.
        seeds: runs of each configuration, unless told otherwise.
        measure: further metrics of a run.
    """

    name: str
    title: str
    about: str
    claims: Callable[[], list[Claim]]
    studies: tuple[Study, ...] = ()
    figures: Mapping[str, tuple[str, Draw]] = field(default_factory=dict)
    fidelity: str = ""
    seeds: int = 3
    measure: Measure | None = None
