"""Simulate the comparison of several groups: with and without Holm's correction, and its letters."""

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from convline.reporting.several_groups import SeveralGroups, compare_several
from convline.reporting.verdict import paragraphs_of_several
from simulation.groups import METRIC, group
from simulation.seeds import SEEDS
from simulation.tables import Rate, Table, errors

NUM_GROUPS = (2, 8, 20, 50)
SIZES = ((2, 5), (2, 10), (3, 5), (3, 10), (4, 10), (5, 10), (5, 20))  # seeds of every other group
FEWER = 50  # groups from which on a row has a quarter of the experiments
_LETTER = re.compile(r"\(\d+\)|[a-zA-Z]")


def _alike(rng: np.random.Generator, num_groups: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.zeros(num_groups), np.ones(num_groups)


def _unequal_spreads(rng: np.random.Generator, num_groups: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.zeros(num_groups), np.resize([1.0, 5.0], num_groups)


def _half_better(rng: np.random.Generator, num_groups: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.where(np.arange(num_groups) < num_groups // 2, 6.0, 0.0), np.ones(num_groups)


TRUTHS: dict[str, Callable[[np.random.Generator, int], tuple[NDArray[np.float64], NDArray[np.float64]]]] = {
    "all alike": _alike,
    "all alike, spreads 1 and 5": _unequal_spreads,
    "half of them better by 6 sd": _half_better,
}


def simulate(experiments: int, rng: np.random.Generator) -> list[Table]:
    """Simulate groups of equal and of unequal numbers of seeds."""
    return [even(experiments, rng), uneven(experiments, rng)]


def even(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate how often a comparison finds any difference between groups that are alike."""
    columns = ("truth", "groups", "seeds", "without correction", "with Holm's", "letters that contradict a pair")
    table = Table(
        "Comparisons of several groups with any difference between two that are alike",
        columns,
        [],
        f"{experiments:,} ({max(experiments // 4, 1):,} of 50 groups)",
        "Without correction nothing is claimed",
    )
    for name, truth in TRUTHS.items():
        for num_groups in NUM_GROUPS:
            for n in SEEDS:
                count = max(experiments // 4, 1) if num_groups >= FEWER else experiments
                means, sds = truth(rng, num_groups)
                values = means[:, None] + sds[:, None] * rng.standard_normal((count, num_groups, n))
                uncorrected, corrected, contradictions = [], [], 0
                for experiment in values.tolist():
                    groups = [group(row, str(index)) for index, row in enumerate(experiment)]
                    result = compare_several(groups, METRIC)
                    alike = [
                        pair
                        for pair in result.pairs
                        if _mean_of(result, pair.first, means) == _mean_of(result, pair.second, means)
                    ]
                    uncorrected.append(any(pair.difference and pair.difference.is_supported for pair in alike))
                    corrected.append(any(pair.is_supported for pair in alike))
                    contradictions += _contradicts(result)
                table.rows.append(
                    (name, str(num_groups), str(n), errors(uncorrected, claimed=False), errors(corrected),
                     Rate(contradictions, count))
                )  # fmt: skip
    return table


def uneven(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate eight groups that are alike, of two numbers of seeds in turn."""
    ratios = (0.5, 1.0, 2.0, 5.0)
    columns = ("seeds, in turn", "warned of", *(f"spreads {ratio:g} and 1" for ratio in ratios))
    remark = "With Holm's correction; a limit is claimed where Convline does not warn of few and uneven seeds"
    title = "Comparisons of eight groups with uneven seeds, all alike, with any difference"
    table = Table(title, columns, [], f"{experiments:,}", remark)
    for sizes in SIZES:
        rates, is_warned_of = [], False
        for ratio in ratios:
            values = [
                scale * rng.standard_normal((experiments, n))
                for n, scale in zip(sizes * 4, (ratio, 1.0) * 4, strict=True)
            ]
            found = []
            for experiment in zip(*(rows.tolist() for rows in values), strict=True):
                result = compare_several([group(row, str(index)) for index, row in enumerate(experiment)], METRIC)
                found.append(any(pair.is_supported for pair in result.pairs))
            is_warned_of = any(text.startswith("One group has") for text in paragraphs_of_several(result))
            rates.append(errors(found, claimed=not is_warned_of))
        table.rows.append((", ".join(map(str, sizes)), "yes" if is_warned_of else "no", *rates))
    return table


def _mean_of(result: SeveralGroups, position: int, means: NDArray[np.float64]) -> float:
    return float(means[int(result.groups[position].name)])


def _contradicts(result: SeveralGroups) -> bool:
    """Return whether two groups share a letter although they differ, or share none although they do not."""
    letters = [set(_LETTER.findall(text)) for text in result.letters]
    return any(letters[pair.first].isdisjoint(letters[pair.second]) != pair.is_supported for pair in result.pairs)
