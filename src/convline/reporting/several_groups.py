"""Compare more than two groups of runs: all pairs by Welch's test, with Holm's correction and letters."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters

from convline.config.metrics import lower_is_better
from convline.errors import UserError
from convline.reporting.comparison import Group, check_data, count_test_evaluations
from convline.reporting.statistics import ALPHA, Difference, holm, welch

MAX_GROUPS = len(ascii_letters)  # that letters suffice for


@dataclass(frozen=True)
class Pair:
    """Hold the comparison of two of several groups.

    Args:
        first, second: indices of the groups, the better mean first.
        difference: first − second over seeds, with its own interval and p; None without a spread.
        adjusted: p after the correction for the number of pairs; 1 without a difference.
    """

    first: int
    second: int
    difference: Difference | None
    adjusted: float

    @property
    def is_supported(self) -> bool:
        """Return whether the two differ, with 95 % confidence over all pairs together."""
        return self.adjusted < ALPHA


@dataclass(frozen=True)
class SeveralGroups:
    """Hold more than two groups of runs and the comparison of each with each.

    Args:
        metric: name of the metric, such as "test/acc".
        groups: the groups, the best mean first.
        pairs: all pairs.
        letters: letters of each group; two groups without a common letter differ.
        num_test_evaluations: number of evaluations on the test set.
    """

    metric: str
    groups: list[Group]
    pairs: list[Pair]
    letters: list[str]
    num_test_evaluations: int


def compare_several(groups: Sequence[Group], metric: str) -> SeveralGroups:
    """Compare each group with each.

    Raises:
        UserError: there are too many groups, or they are not on the same data.
    """
    if len(groups) > MAX_GROUPS:
        raise UserError(f"{len(groups)} groups are too many to compare each with each; name {MAX_GROUPS} at most.")
    check_data(groups)
    sign = 1 if lower_is_better(metric) else -1
    ordered = sorted(groups, key=lambda group: sign * group.sample(metric).mean)
    indices = list(itertools.combinations(range(len(ordered)), 2))
    samples = [group.sample(metric) for group in ordered]
    differences = [welch(samples[i], samples[j]) for i, j in indices]
    adjusted = iter(holm([difference.p for difference in differences if difference]))
    pairs = [
        Pair(i, j, difference, next(adjusted) if difference else 1.0)
        for (i, j), difference in zip(indices, differences, strict=True)
    ]
    letters = letter_display(len(ordered), [(pair.first, pair.second) for pair in pairs if pair.is_supported])
    return SeveralGroups(metric, ordered, pairs, letters, count_test_evaluations(ordered))


def letter_display(num_groups: int, different: Sequence[tuple[int, int]]) -> list[str]:
    """Give each group letters, so that two groups share none exactly if they are different.

    Args:
        num_groups: number of groups.
        different: pairs of indices of groups that differ.

    Source: Piepho, "An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons", Journal of
    Computational and Graphical Statistics 2004: insert and absorb.
    """
    columns = [frozenset(range(num_groups))]  # of each letter, the groups that have it
    for pair in different:
        split = [column - {one} for column in columns for one in pair if set(pair) <= column]
        kept = [column for column in columns if not set(pair) <= column]
        candidates = list(dict.fromkeys([*kept, *split]))
        columns = [column for column in candidates if not any(column < other for other in candidates)]
    columns.sort(key=sorted)
    names = [*ascii_letters, *(f"({number})" for number in range(len(ascii_letters), len(columns)))]
    return [
        "".join(name for name, column in zip(names, columns, strict=False) if group in column)
        for group in range(num_groups)
    ]
