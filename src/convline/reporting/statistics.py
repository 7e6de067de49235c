"""Compute statistics of a few seeds: mean, standard deviation, intervals, differences, and the seeds needed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

CONFIDENCE, ALPHA, POWER = 0.95, 0.05, 0.80
MAX_SEEDS = 1000  # more are not worth counting
FEW_IMAGES = 3.5  # a mean over seeds may be no whole number of images
ROUNDING = 1e-12  # a spread or a difference below this is 0 but for rounding


@dataclass(frozen=True)
class Sample:
    """Hold the values of one metric, one per seed, and compute their statistics."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Count the values."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        """Compute the mean; nan without values."""
        return math.fsum(self.values) / self.n if self.n else math.nan

    @cached_property
    def sd(self) -> float:
        """Compute the sample standard deviation (divisor n − 1); nan for fewer than two values."""
        if self.n < 2:
            return math.nan
        return math.sqrt(math.fsum((value - self.mean) ** 2 for value in self.values) / (self.n - 1))

    @property
    def has_spread(self) -> bool:
        """Return whether there are several values that are not all equal."""
        return self.n > 1 and self.sd >= ROUNDING

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Compute the 95 % confidence interval of the mean by Student's t; nan without a spread.

        Equal values, which accuracies of a few seeds can be by coincidence, are no estimate of the spread.
        """
        from scipy.special import stdtrit

        if not self.has_spread:
            return math.nan, math.nan
        half = float(stdtrit(self.n - 1, 0.5 + CONFIDENCE / 2)) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Difference:
    """Hold a difference of two means, A − B, with its interval and p-value.

    Args:
        value: observed difference.
        low, high: 95 % confidence interval.
        p: two-sided p-value under the hypothesis of equal means.
        n: number of values of A, or of pairs.
    """

    value: float
    low: float
    high: float
    p: float
    n: int

    @property
    def is_supported(self) -> bool:
        """Return whether the confidence interval excludes 0."""
        return self.low > 0 or self.high < 0

    @property
    def largest(self) -> float:
        """Return the largest absolute difference that the interval holds."""
        return max(abs(self.low), abs(self.high))


def share_interval(share: float, num_images: int) -> tuple[float, float]:
    """Compute the 95 % interval of an accuracy over other images of the kind, for one trained network.

    Args:
        share: accuracy on the images, from 0 to 1.
        num_images: number of images, each either correct or incorrect.

    Sources: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927. With one to
    three images on one side, it alone misses the truth in up to 16 % of cases; there the limit is that of the Poisson
    distribution: Brown, Cai & DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 2001,
    section 4.1.
    """
    from scipy.special import gammaincinv, ndtri

    square = float(ndtri(0.5 + CONFIDENCE / 2)) ** 2
    center = (share + square / (2 * num_images)) / (1 + square / num_images)
    half = math.sqrt(square * (share * (1 - share) + square / (4 * num_images)) / num_images) / (
        1 + square / num_images
    )
    low, high = max(center - half, 0.0), min(center + half, 1.0)
    num_correct, num_incorrect = share * num_images, (1 - share) * num_images
    if num_correct < FEW_IMAGES:
        low = min(low, float(gammaincinv(num_correct, ALPHA)) / num_images) if num_correct else 0.0
    if num_incorrect < FEW_IMAGES:
        high = max(high, 1 - float(gammaincinv(num_incorrect, ALPHA)) / num_images) if num_incorrect else 1.0
    return low, high


def welch(a: Sample, b: Sample) -> Difference | None:
    """Compare the means of two independent samples by Welch's t test.

    Returns:
        The difference; None if a sample has fewer than two values, or if both standard deviations are 0. Accuracies of
        a few seeds can be equal by coincidence, since they are multiples of one image; that is no estimate of the
        spread over other seeds, and without one nothing is certain, neither a difference nor that there is none.

    Source: Welch, "The generalization of 'Student's' problem when several different population variances are
    involved", Biometrika 1947.
    """
    if min(a.n, b.n) < 2:
        return None
    if not (a.has_spread or b.has_spread):
        return None
    difference = a.mean - b.mean
    variance_a, variance_b = a.sd**2 / a.n, b.sd**2 / b.n  # of the means
    freedom = (variance_a + variance_b) ** 2 / (variance_a**2 / (a.n - 1) + variance_b**2 / (b.n - 1))
    return _by_t(difference, math.sqrt(variance_a + variance_b), freedom, a.n)


def _by_t(difference: float, standard_error: float, freedom: float, n: int) -> Difference:
    """Compute interval and p-value by Student's t.

    Not by scipy.stats, which takes 80 times as long: 50 groups have 1,225 pairs.
    """
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * standard_error
    p = 2 * float(stdtr(freedom, -abs(difference) / standard_error))
    return Difference(difference, difference - half, difference + half, p, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number, so that with 95 % probability none below 0.05 is due to chance alone.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def paired(a: Sample, b: Sample) -> Difference | None:
    """Compare two samples by the paired t test; value k of A and value k of B are a pair.

    Returns:
        The difference; None for fewer than two pairs, or if all differences are equal.
    """
    if a.n < 2:
        return None
    differences = Sample(tuple(x - y for x, y in zip(a.values, b.values, strict=True)))
    if not differences.has_spread:
        return None
    return _by_t(differences.mean, differences.sd / math.sqrt(a.n), a.n - 1, a.n)


def selection_bias(num_candidates: int, correlation: float, sd: float, n: int) -> float:
    """Compute by how much the mean of the best of several candidates is too good, if in truth all are alike.

    Args:
        num_candidates: number of configurations among which the best was chosen by its mean over seeds.
        correlation: of the metric that chose with the reported one, over the seeds of a configuration.
        sd: standard deviation of the reported metric over seeds.
        n: seeds of each configuration.
    Returns:
        correlation · sd / √n · the expected maximum of `num_candidates` standard normal numbers.

    The maximum is integrated from its density, k · Φ(x)^(k − 1) · φ(x).
    """
    import numpy as np
    from scipy import stats

    if num_candidates < 2:
        return 0.0
    grid = np.linspace(-8, 8, 4001)
    density = num_candidates * stats.norm.cdf(grid) ** (num_candidates - 1) * stats.norm.pdf(grid)
    return max(correlation, 0.0) * sd / math.sqrt(n) * float(np.trapezoid(grid * density, grid))


def pooled_correlation(pairs: Sequence[tuple[Sample, Sample]]) -> float:
    """Compute the correlation of two metrics over the seeds within configurations; nan if nothing varies.

    Args:
        pairs: for each configuration, the values of both metrics by seed, in the same order.
    """
    products, squares_a, squares_b = 0.0, 0.0, 0.0
    for a, b in pairs:
        if a.n == b.n:
            products += math.fsum((x - a.mean) * (y - b.mean) for x, y in zip(a.values, b.values, strict=True))
            squares_a += math.fsum((x - a.mean) ** 2 for x in a.values)
            squares_b += math.fsum((y - b.mean) ** 2 for y in b.values)
    return products / math.sqrt(squares_a * squares_b) if min(squares_a, squares_b) > ROUNDING**2 else math.nan


def seeds_needed(difference: float, sd_a: float, sd_b: float) -> int | None:
    """Compute the number of seeds per side with which Welch's test detects a difference in 80 % of experiments.

    Args:
        difference: difference of the true means.
        sd_a, sd_b: true standard deviations over seeds.
    Returns:
        The smallest number, at least 2, with a power of 80 % at α = 0.05, two-sided; None if 1,000 are too few.

    Source: the noncentral t distribution; Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, ch. 2.
    """
    import numpy as np
    from scipy import stats

    if difference == 0:
        return None
    if sd_a == sd_b == 0:
        return 2
    n = np.arange(2, MAX_SEEDS + 1)
    variance_a, variance_b = sd_a**2, sd_b**2
    freedom = (n - 1) * (variance_a + variance_b) ** 2 / (variance_a**2 + variance_b**2)
    shift = abs(difference) / np.sqrt((variance_a + variance_b) / n)
    critical = stats.t.ppf(1 - ALPHA / 2, freedom)
    power = stats.nct.sf(critical, freedom, shift) + stats.nct.cdf(-critical, freedom, shift)
    # far out in its tail the distribution's sum gives nan; there the power is 1
    enough = n[np.where(np.isnan(power), shift > critical, power >= POWER)]
    return int(enough[0]) if len(enough) else None
