"""Simulate ω², the share of a metric's variance that a setting explains."""

import numpy as np

from convline.reporting.configurations import Configuration
from convline.reporting.plots.axes import Scale, effect, make_scale
from convline.reporting.plots.style import Point
from convline.reporting.run_records import RunRecord
from simulation.groups import NOWHERE
from simulation.tables import Rate, Table, coverage, errors

KEY = "optimizer.lr"
# number of values, and of configurations of each
SHAPES = ((2, 3), (2, 10), (4, 3), (4, 10), (8, 2), (8, 5))


def simulate(experiments: int, rng: np.random.Generator) -> list[Table]:
    """Simulate a setting without and with an effect."""
    return [no_effect(experiments, rng), with_effect(experiments, rng)]


def _rows(num_values: int, num_each: int, values: list[float] | None = None) -> list[Configuration]:
    """Make configurations with a setting of few values, or of those given."""
    numbers = values or [0.1 * (index % num_values + 1) for index in range(num_values * num_each)]
    return [Configuration([RunRecord(NOWHERE, "finished", settings={KEY: value})]) for value in numbers]


def _points(rows: list[Configuration], metrics: list[float]) -> list[Point]:
    return [Point(row, "", 0, y, 0.0, (y,)) for row, y in zip(rows, metrics, strict=True)]


def _scale(rows: list[Configuration]) -> Scale:
    scale = make_scale(KEY, _points(rows, [0.0] * len(rows)))
    assert scale is not None
    return scale


def no_effect(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate a setting that changes nothing."""
    columns = ("setting", "configurations", "average ω²", "expected η²", "interval excludes 0")
    remark = "ω² below 0 is shown as 0, so that its average is above 0"
    table = Table("ω² of a setting without an effect", columns, [], f"{experiments:,}", remark)
    cases = [(f"{k} values", _rows(k, each)) for k, each in SHAPES]
    cases += [
        (f"a number, {size} values", _rows(0, 0, (0.001 * 1.1 ** np.arange(size)).tolist())) for size in (12, 20, 40)
    ]
    for name, rows in cases:
        scale = _scale(rows)
        num_groups = len(scale.values) if scale.kind == "side by side" else min(8, len(rows) // 2)
        found = [effect(scale, _points(rows, row)) for row in rng.standard_normal((experiments, len(rows))).tolist()]
        share = sum(each.share for each in found) / experiments
        by_chance = (num_groups - 1) / (len(rows) - 1)
        excludes = errors([each.low > 0 for each in found])
        table.rows.append((name, str(len(rows)), f"{share:.3f}", f"{by_chance:.3f}", excludes))
    return table


def with_effect(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate a setting that explains a known share of the variance."""
    columns = ("values", "configurations", "true share", "average ω²", "coverage")
    table = Table("ω² of a setting with an effect, and its 95 % interval", columns, [], f"{experiments:,}")
    for num_values, num_each in SHAPES:
        rows = _rows(num_values, num_each)
        scale = _scale(rows)
        steps = np.arange(num_values) - (num_values - 1) / 2
        for share in (0.2, 0.6):
            means = steps / steps.std() * np.sqrt(share / (1 - share))  # the spread beside the setting is 1
            noise = rng.standard_normal((experiments, len(rows)))
            metrics = (np.tile(means, num_each) + noise).tolist()
            found = [effect(scale, _points(rows, row)) for row in metrics]
            average = sum(each.share for each in found) / experiments
            rate: Rate = coverage(((each.low, each.high) for each in found), share)
            table.rows.append((str(num_values), str(len(rows)), f"{share:g}", f"{average:.3f}", rate))
    return table
