"""Two ways to do the same thing, measured in turn: A B A B …, and what their ratio is.

A machine that is busy or changes its clock slows both ways down, so only ratios are believed, and the spread of the
rounds' own ratios says how far. Nothing here is ever compared with a time in seconds.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import torch


@dataclass(frozen=True)
class Sample:
    """What one round took, in seconds: of all threads of the process (or of a child), and by the clock on the wall."""

    cpu: float
    wall: float


class Stopwatch:
    """Measures the block that it surrounds; `sample` is there afterwards."""

    sample: Sample

    def __enter__(self) -> Self:
        gc.collect()  # nobody pays for what the other one left behind
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.sample = Sample(time.process_time() - self._cpu, time.perf_counter() - self._wall)


Clock = Literal["cpu", "wall"]
Kind = Literal["at most", "at least"]


@dataclass(frozen=True)
class Way:
    """One way to do something.

    Args:
        said: what it is, in words.
        once: does it once and says what it took.
    """

    said: str
    once: Callable[[], Sample]


@dataclass(frozen=True)
class Comparison:
    """Ours against another way, round by round.

    Args:
        name: what is done.
        ours, other: the two ways, in words.
        clock: which of a sample's times is compared.
        target: what the ratio is to be.
        kind: "at most": the ratio is ours / other; "at least": it is other / ours, how many times as fast ours is.
        our_samples, other_samples: one entry a round; those of the same number were measured next to each other.
        notes: what else a reader has to know; see `noted`.
    """

    name: str
    ours: str
    other: str
    clock: Clock
    target: float
    kind: Kind
    our_samples: list[Sample]
    other_samples: list[Sample]
    notes: dict[str, Any] = field(default_factory=dict)

    def noted(self, **notes: Any) -> Self:
        """The same with more notes."""
        return replace(self, notes={**self.notes, **notes})

    def _ratio(self, ours: float, other: float) -> float:
        return ours / other if self.kind == "at most" else other / ours

    def _times(self) -> tuple[list[float], list[float]]:
        ours, other = ([getattr(s, self.clock) for s in samples] for samples in (self.our_samples, self.other_samples))
        return ours, other

    @property
    def of_medians(self) -> float:
        """Ratio of the two medians over the rounds; the one that the target is held against."""
        ours, other = self._times()
        return self._ratio(statistics.median(ours), statistics.median(other))

    @property
    def of_minima(self) -> float:
        """Ratio of the fastest rounds, which other programs disturbed least."""
        ours, other = self._times()
        return self._ratio(min(ours), min(other))

    @property
    def pairwise(self) -> list[float]:
        """The ratio of each round."""
        return [self._ratio(*pair) for pair in zip(*self._times(), strict=True)]

    @property
    def is_met(self) -> bool:
        """Whether the ratio of medians reaches the target."""
        return self.of_medians <= self.target if self.kind == "at most" else self.of_medians >= self.target

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "name": self.name,
            "ours": self.ours,
            "other": self.other,
            "clock": self.clock,
            "ratio": {
                "of_medians": self.of_medians,
                "of_minima": self.of_minima,
                "lowest": min(self.pairwise),
                "highest": max(self.pairwise),
            },
            "target": {"kind": self.kind, "value": self.target, "met": self.is_met},
            "seconds": {
                "ours": [vars(sample) for sample in self.our_samples],
                "other": [vars(sample) for sample in self.other_samples],
            },
            "notes": self.notes,
        }


def compare(
    name: str,
    ours: Way,
    other: Way,
    clock: Clock,
    kind: Kind,
    target: float,
    num_rounds: int,
    warm_up: bool = True,
) -> Comparison:
    """Measure two ways in turn.

    Args:
        name, clock, kind, target: of the `Comparison`.
        ours, other: the two ways.
        num_rounds, warm_up: see `interleaved`.
    """
    samples = interleaved(ours.once, other.once, num_rounds, warm_up)
    return Comparison(name, ours.said, other.said, clock, target, kind, *samples)


def interleaved(
    ours: Callable[[], Sample], other: Callable[[], Sample], num_rounds: int, warm_up: bool = True
) -> tuple[list[Sample], list[Sample]]:
    """Measure the two in turn.

    Args:
        ours, other: do it once and say what it took.
        num_rounds: how often each is measured.
        warm_up: do both once before, uncounted: first calls import modules and fill caches.
    """
    if warm_up:
        ours(), other()
    pairs = [(ours(), other()) for _ in range(num_rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def pin(num_threads: int, num_cores: int | None = None) -> None:
    """Fix the number of torch's threads, and on Linux the cores that this process and its children may use.

    Args:
        num_threads: of torch.
        num_cores: the first so many of those allowed when this module was loaded; `num_threads` if None.
    """
    torch.set_num_threads(num_threads)
    if ALLOWED_CORES:
        os.sched_setaffinity(0, ALLOWED_CORES[: num_cores or num_threads])


ALLOWED_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
