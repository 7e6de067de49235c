"""Simulate the verdict of `convline compare` on two configurations that are alike in truth."""

import numpy as np

from simulation.groups import group, is_supported, verdict_of
from simulation.seeds import SEEDS, TRUTHS, normal
from simulation.tables import Table, errors

SIZES = ((2, 3), (2, 10), (3, 4), (3, 5), (3, 10), (4, 5), (4, 7), (4, 10), (5, 10), (5, 20), (10, 20))


def simulate(experiments: int, rng: np.random.Generator) -> list[Table]:
    """Simulate verdicts on groups of equal and of unequal numbers of seeds."""
    return [even(experiments, rng), uneven(experiments, rng)]


def even(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate groups with the same number of seeds."""
    columns = ("truth", *(f"{n} seeds" for n in SEEDS))
    table = Table("False positives of the verdict, of configurations that are alike", columns, [], f"{experiments:,}")
    for name, (draw_a, draw_b, claimed) in TRUTHS.items():
        rates = []
        for n in SEEDS:
            a, b = draw_a(rng, (experiments, n)).tolist(), draw_b(rng, (experiments, n)).tolist()
            rates.append(
                errors([is_supported(verdict_of(group(x), group(y))) for x, y in zip(a, b, strict=True)], claimed)
            )
        table.rows.append((name, *rates))
    return table


def uneven(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate groups of different numbers of seeds and different spreads."""
    ratios = (0.2, 0.5, 1.0, 2.0, 5.0)
    columns = ("seeds of A and B", "warned of", *(f"spreads {ratio:g} : 1" for ratio in ratios))
    remark = "A limit is claimed where Convline does not warn of few and uneven seeds"
    table = Table("False positives of the verdict with uneven seeds", columns, [], f"{experiments:,}", remark)
    for num_a, num_b in SIZES:
        rates, is_warned_of = [], False
        for ratio in ratios:
            a, b = ratio * normal(rng, (experiments, num_a)), normal(rng, (experiments, num_b))
            verdicts = [verdict_of(group(x), group(y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
            is_warned_of = any(text.startswith("One side has") for text in verdicts[0])
            rates.append(errors([is_supported(paragraphs) for paragraphs in verdicts], claimed=not is_warned_of))
        table.rows.append((f"{num_a}, {num_b}", "yes" if is_warned_of else "no", *rates))
    return table
