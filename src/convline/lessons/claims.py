"""Claims -> findings: what is published, what came out, and whether the two agree.

A published figure is one run of somebody else. It is compared with the interval in which one further run of ours would
lie with 95 % probability (of Student's t), which takes the spread over seeds into account, and not with the interval of
the mean, which shrinks to nothing as seeds are added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from convline.lessons.results import Results
from convline.reporting.metric_text import folded, is_share, with_unit
from convline.reporting.statistics import CONFIDENCE, Sample, welch

REPRODUCED, HOLDS, EXACT = "reproduced", "holds", "exact"


@dataclass(frozen=True)
class Finding:
    """One line of a lesson's outcome, as text.

    Args:
        claim: what is claimed.
        published: the source's figure, or what it says.
        reproduced: ours.
        verdict: whether they agree, in a few words.
    """

    claim: str
    published: str
    reproduced: str
    verdict: str


class Claim(Protocol):
    """Something that a lesson says, which can be checked."""

    def check(self, results: Results) -> Finding:
        """Compare it with results."""


@dataclass(frozen=True)
class Figure:
    """A metric of one configuration was published.

    Args:
        text: what is claimed.
        arm: the configuration's label.
        metric: such as "test/acc"; "train/acc@5" is that of the fifth epoch.
        published: its value.
    """

    text: str
    arm: str
    metric: str
    published: float

    def check(self, results: Results) -> Finding:
        """Whether a further run might give what was published."""
        sample, name = results.arm(self.arm).sample(self.metric), self.metric.partition("@")[0]
        low, high = further_run(sample)
        if not sample.n:
            verdict = "not run"
        elif math.isnan(low):
            verdict = "one run says nothing of the spread"
        elif low <= self.published <= high:
            verdict = REPRODUCED
        else:
            difference = abs(sample.mean - self.published)
            by = f"{100 * difference:.2f} points" if is_share(name) else f"{difference:.3f}"
            verdict = f"{'higher' if sample.mean > self.published else 'lower'} by {by}"
        unit = " %" if is_share(name) else ""
        return Finding(self.text, with_unit(name, self.published), folded(name, sample) + unit, verdict)


def further_run(sample: Sample) -> tuple[float, float]:
    """The interval that holds one more value with 95 % probability; nan for fewer than two values.

    Source: Hahn & Meeker, "Statistical Intervals", 1991, section 4.7.
    """
    from scipy.special import stdtrit

    if sample.n < 2:
        return math.nan, math.nan
    half = float(stdtrit(sample.n - 1, 0.5 + CONFIDENCE / 2)) * sample.sd * math.sqrt(1 + 1 / sample.n)
    return sample.mean - half, sample.mean + half


@dataclass(frozen=True)
class Better:
    """One configuration is said to be better than another.

    Args:
        text: what is claimed.
        better, worse: labels.
        metric: of which more is better.
    """

    text: str
    better: str
    worse: str
    metric: str = "test/acc"

    def check(self, results: Results) -> Finding:
        """Whether the seeds support it, by Welch's test."""
        a, b = (results.arm(label).sample(self.metric) for label in (self.better, self.worse))
        found = welch(a, b)
        name = self.metric.partition("@")[0]
        ours = f"{folded(name, a)} against {folded(name, b)}{' %' if is_share(name) else ''}"
        if found is None:
            verdict = "too few seeds to say"
        elif not found.is_supported:
            verdict = f"not decided: {_points(found.low)} to {_points(found.high)} points"
        else:
            low, high = sorted((abs(found.low), abs(found.high)))
            verdict = f"{HOLDS if found.value > 0 else 'the opposite holds'}: by {_points(abs(found.value))} points"
            verdict += f" ({_points(low)} to {_points(high)})"
        return Finding(self.text, f"{self.better} above {self.worse}", ours, verdict)


def _points(value: float) -> str:
    return f"{100 * value:.2f}"


@dataclass(frozen=True)
class Exactly:
    """A number that can be worked out, such as a count of parameters.

    Args:
        text: what is claimed.
        published: as printed by the source.
        computed: gives ours, as text.
        right: what it is, where the source errs or rounds; empty if the two should agree.
        why: what to say of that.
    """

    text: str
    published: str
    computed: Callable[[], str]
    right: str = ""
    why: str = ""

    def check(self, results: Results) -> Finding:
        """Whether the two texts are the same, or differ as they should."""
        ours = self.computed()
        verdict = EXACT if ours == self.published else self.why if ours == self.right else "differs"
        return Finding(self.text, self.published, ours, verdict)


@dataclass(frozen=True)
class Said:
    """A sentence that results contradict or qualify.

    Args:
        text: the sentence.
        evidence: what the results show, as text, and whether it bears the verdict out.
        verdict: what is right instead.
    """

    text: str
    evidence: Callable[[Results], tuple[str, bool]]
    verdict: str

    def check(self, results: Results) -> Finding:
        """The evidence beside the sentence."""
        shown, bears_out = self.evidence(results)
        return Finding(self.text, "–", shown, self.verdict if bears_out else "not shown")
