"""What a few seeds say: mean, spread, intervals, and how many more seeds would say enough."""

import math
from dataclasses import dataclass
from functools import cached_property

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Sample:
    """One metric of several seeds."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        """nan for none."""
        return math.fsum(self.values) / self.n if self.n else math.nan

    @cached_property
    def sd(self) -> float:
        """Sample standard deviation, with n − 1; nan for fewer than two."""
        if self.n < 2:
            return math.nan
        return math.sqrt(math.fsum((value - self.mean) ** 2 for value in self.values) / (self.n - 1))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the mean by Student's t, for other seeds; nan for fewer than two."""
        from scipy.special import stdtrit

        if self.n < 2:
            return math.nan, math.nan
        half = float(stdtrit(self.n - 1, 0.5 + CONFIDENCE / 2)) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half
