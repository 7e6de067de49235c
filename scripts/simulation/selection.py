"""Simulate the choice of the best of several configurations by validation, and its confirmation by fresh seeds."""

import numpy as np

from convline.reporting.comparison import Group, chosen_configuration
from simulation.groups import METRIC, group, is_supported, run_records, verdict_of
from simulation.seeds import SEEDS, normal
from simulation.tables import Rate, Table, coverage, errors

NUM_CONFIGURATIONS = (2, 8, 20, 50)
NUM_FRESH = 5  # seeds, as in `--confirm 5`
CORRELATIONS = (0.3, 0.5, 0.9)  # of validation and test over seeds


def simulate(experiments: int, rng: np.random.Generator) -> list[Table]:
    """Simulate the best of k configurations that are all alike, against a baseline that was not chosen."""
    columns = (
        "correlation of val and test",
        "configurations",
        "seeds",
        "too good by (sd)",
        "stated (sd)",
        "coverage of its interval",
        "false positives",
        f"confirmed with {NUM_FRESH} fresh seeds",
    )
    remark = (
        "sd: standard deviation over seeds. A choice is stated beside the verdict, with its bias and the command that "
        "confirms it; before that, 95 % is not claimed"
    )
    table = Table("The best of several configurations that are alike, chosen by validation", columns, [], "", remark)
    for correlation in CORRELATIONS:
        for num_configurations in NUM_CONFIGURATIONS:
            for n in SEEDS:
                count = max(experiments // 4, 1) if num_configurations * n > 200 else experiments
                table.rows.append(_row(count, rng, correlation, num_configurations, n))
    words = f"{experiments:,} ({max(experiments // 4, 1):,} of more than 200 runs)"
    return [Table(table.title, columns, table.rows, words, remark)]


def _row(experiments: int, rng: np.random.Generator, correlation: float, k: int, n: int) -> tuple[str | Rate, ...]:
    excess, stated, intervals, first, confirmed = 0.0, 0.0, [], [], []
    for _ in range(experiments):
        test = normal(rng, (k, n))
        val = correlation * test + np.sqrt(1 - correlation**2) * normal(rng, (k, n))
        chosen, baseline = _best(test, val), group(normal(rng, (n,)).tolist())
        sample = chosen.sample(METRIC)
        excess += sample.mean / experiments
        stated += chosen.selection_bias(METRIC) / experiments
        intervals.append(sample.interval)
        first.append(is_supported(verdict_of(chosen, baseline)))
        fresh_a, fresh_b = normal(rng, (2, NUM_FRESH)).tolist()
        confirmed.append(is_supported(verdict_of(group(fresh_a), group(fresh_b))))
    return (
        f"{correlation:g}", str(k), str(n), f"{excess:.2f}", f"{stated:.2f}", coverage(intervals, 0.0, claimed=False),
        errors(first, claimed=False), errors(confirmed),
    )  # fmt: skip


def _best(test: np.ndarray, val: np.ndarray) -> Group:
    """Choose the best configuration as `convline compare` does for a group of several."""
    runs = [
        run
        for index, (values, chosen_by) in enumerate(zip(test.tolist(), val.tolist(), strict=True))
        for run in run_records(values, chosen_by, lr=0.001 * (index + 1))
    ]
    best, notes, candidates = chosen_configuration("A", runs, METRIC)
    return Group("A", best.runs, notes, candidates)
