"""Check the claims of a lesson against its results.

A published metric is one run of somebody else. It is compared with the prediction interval, in which one further run of
ours lies with 95 % probability (by Student's t distribution), and not with the confidence interval of the mean: that
one shrinks to nothing as seeds are added, until every published metric lies outside of it. An interval of few seeds is
wide and contradicts little: with three seeds, a published run must lie 6.8 standard deviations away to be noticed with
80 % probability. So a metric is only "reproduced" by at least `MIN_SEEDS` seeds and an interval no wider than a
tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from convline.config.metrics import is_share
from convline.lessons.results import Results
from convline.reporting.metric_text import mean_and_spread, value_with_unit
from convline.reporting.statistics import CONFIDENCE, Sample, holm, welch

REPRODUCED, NOT_CONTRADICTED, HOLDS, EXACT = "reproduced", "not contradicted", "holds", "exact"
MIN_SEEDS = 5  # of "reproduced"
TOLERANCE, LOSS_TOLERANCE = 0.01, 0.1  # distance from our mean up to which a run agrees: a share, and a loss


@dataclass(frozen=True)
class Finding:
    """Hold the outcome of one claim as text.

    Args:
        claim: statement of the source.
        published: metric or number that the source gives.
        reproduced: metric or number that Convline gives.
        verdict: whether the two agree, in a few words.
        p: p-value of a difference between two configurations; None of other claims.
    """

    claim: str
    published: str
    reproduced: str
    verdict: str
    p: float | None = None


class Claim(Protocol):
    """Check a statement that results can support or contradict. Subclasses implement `check`."""

    def check(self, results: Results) -> Finding:
        """Compare the claim with results."""


@dataclass(frozen=True)
class PublishedMetric:
    """Check a metric of one configuration that the source gives.

    Args:
        text: the claim in words.
        configuration: label of the configuration.
        metric: name of the metric, such as "test/acc"; "train/acc@5" is the one of the fifth epoch.
        published: value in the source.
    """

    text: str
    configuration: str
    metric: str
    published: float

    def check(self, results: Results) -> Finding:
        """Check whether the published value lies in the prediction interval of one further run."""
        sample, name = results.configuration(self.configuration).sample(self.metric), self.metric.partition("@")[0]
        low, high = prediction_interval(sample)
        if not sample.n:
            verdict = "not run"
        elif math.isnan(low):
            runs = "one run says" if sample.n == 1 else "equal runs say"
            verdict = f"{runs} nothing of the spread"
        elif low <= self.published <= high:
            tolerance = TOLERANCE if is_share(name) else LOSS_TOLERANCE
            is_narrow = sample.n >= MIN_SEEDS and (high - low) / 2 <= tolerance
            where = f"{value_with_unit(name, low)} to {value_with_unit(name, high)}"
            verdict = f"{REPRODUCED if is_narrow else NOT_CONTRADICTED}: one further run lies in {where}"
        else:
            difference = abs(sample.mean - self.published)
            by = f"{100 * difference:.2f} points" if is_share(name) else f"{difference:.3f}"
            verdict = f"{'higher' if sample.mean > self.published else 'lower'} by {by}"
        unit = " %" if is_share(name) else ""
        return Finding(self.text, value_with_unit(name, self.published), mean_and_spread(name, sample) + unit, verdict)


def prediction_interval(sample: Sample) -> tuple[float, float]:
    """Compute the interval that holds one further value with 95 % probability; nan without a spread.

    Source: Hahn & Meeker, "Statistical Intervals", 1991, section 4.7.
    """
    from scipy.special import stdtrit  # imported late because importing is slow

    if not sample.has_spread:
        return math.nan, math.nan
    # 1 + 1/n: the variance of the further value itself, and that of the mean which predicts it
    half = float(stdtrit(sample.n - 1, 0.5 + CONFIDENCE / 2)) * sample.sd * math.sqrt(1 + 1 / sample.n)
    return sample.mean - half, sample.mean + half


@dataclass(frozen=True)
class BetterThan:
    """Check a statement of the source that one configuration is better than another.

    Args:
        text: the claim in words.
        better, worse: labels of the two configurations.
        metric: name of a metric that is better when it is higher.
    """

    text: str
    better: str
    worse: str
    metric: str = "test/acc"

    def check(self, results: Results) -> Finding:
        """Check whether the seeds support the claim, by Welch's test."""
        a, b = (results.configuration(label).sample(self.metric) for label in (self.better, self.worse))
        difference = welch(a, b)
        name = self.metric.partition("@")[0]
        reproduced = f"{mean_and_spread(name, a)} against {mean_and_spread(name, b)}{' %' if is_share(name) else ''}"
        if difference is None:
            verdict = "too few seeds to say"
        elif not difference.is_supported:
            verdict = f"not decided: {_points(difference.low)} to {_points(difference.high)} points"
        else:
            low, high = sorted((abs(difference.low), abs(difference.high)))
            outcome = HOLDS if difference.value > 0 else "the opposite holds"
            verdict = f"{outcome}: by {_points(abs(difference.value))} points ({_points(low)} to {_points(high)})"
        p = difference.p if difference else None
        return Finding(self.text, f"{self.better} above {self.worse}", reproduced, verdict, p)


def check_all(claims: Sequence[Claim], results: Results) -> list[Finding]:
    """Check the claims of a lesson, and mark the differences that its number of comparisons may explain.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.
    """
    findings = [claim.check(results) for claim in claims]
    p_values = {index: finding.p for index, finding in enumerate(findings) if finding.p is not None}
    for (index, p), adjusted in zip(p_values.items(), holm(list(p_values.values())), strict=True):
        if p < 1 - CONFIDENCE < adjusted:
            note = f"; not after Holm's correction for {len(p_values)} comparisons, p = {adjusted:.2g}"
            findings[index] = replace(findings[index], verdict=findings[index].verdict + note)
    return findings


def _points(value: float) -> str:
    return f"{100 * value:.2f}"


@dataclass(frozen=True)
class ExactValue:
    """Check a number of the source that can be computed without training, such as a number of parameters.

    Args:
        text: the claim in words.
        published: number as the source prints it.
        compute: returns Convline's number, as text.
        correct: the correct number, if the source is mistaken or rounds; empty if the two should be equal.
        remark: verdict to show for such a number.
    """

    text: str
    published: str
    compute: Callable[[], str]
    correct: str = ""
    remark: str = ""

    def check(self, results: Results) -> Finding:
        """Check whether the two texts are equal, or differ as expected."""
        computed = self.compute()
        verdict = EXACT if computed == self.published else self.remark if computed == self.correct else "differs"
        return Finding(self.text, self.published, computed, verdict)


@dataclass(frozen=True)
class QuotedStatement:
    """Show the evidence on a statement of the source that results contradict or qualify.

    Args:
        text: the statement.
        evidence: returns the results that concern it, as text, and whether they support the correction.
        correction: the correct statement.
    """

    text: str
    evidence: Callable[[Results], tuple[str, bool]]
    correction: str

    def check(self, results: Results) -> Finding:
        """Return a finding with the evidence, and with the correction if the evidence supports it."""
        evidence, supports_correction = self.evidence(results)
        return Finding(self.text, "–", evidence, self.correction if supports_correction else "not shown")
