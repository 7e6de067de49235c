"""Simulate the intervals over seeds: of a mean, of differences, and of one further run; and the seeds needed."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from convline.lessons.claims import prediction_interval
from convline.reporting.statistics import POWER, Sample, paired, seeds_needed, welch
from simulation.tables import Rate, Table, coverage

SEEDS = (3, 5, 10)
Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
MEAN_ERROR = 0.005  # of the skewed accuracies
SKEW = 0.5  # standard deviation of the logarithm of their errors


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw normal values with mean 0 and standard deviation 1."""
    return rng.standard_normal(shape)


def wide(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw normal values with mean 0 and standard deviation 5."""
    return 5 * rng.standard_normal(shape)


def counted(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw accuracies of networks of about 97 % on 355 images, minus their mean; many of them are equal."""
    return rng.binomial(355, np.clip(rng.normal(0.97, 0.004, shape), 0, 0.99), shape) / 355 - 0.97


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw accuracies near 100 %, whose errors have a lognormal distribution, minus their mean.

    The errors have a mean of 0.5 % and a coefficient of variation of 0.53; the skewness of the accuracies is −1.75.
    """
    return MEAN_ERROR - MEAN_ERROR * np.exp(SKEW * rng.standard_normal(shape) - SKEW**2 / 2)


def near_one(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw accuracies of networks of 99.5 % on 355 images, minus their mean: one or two images are incorrect."""
    return rng.binomial(355, 0.995, shape) / 355 - 0.995


def failing(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw values of which one in ten is 100 standard deviations lower, as of a run that learns nothing."""
    return rng.standard_normal(shape) - 100 * (rng.random(shape) < 0.1) + 10


# what is drawn for A and for B, and whether Convline's claims of 95 % are meant to hold for it
TRUTHS: dict[str, tuple[Draw, Draw, bool]] = {
    "normal, equal spreads": (normal, normal, True),
    "normal, spreads 5 : 1": (wide, normal, True),
    "97 % of 355 images, counted": (counted, counted, True),
    "99.5 % of 355 images, counted": (near_one, near_one, True),
    "errors of 0.5 %, skewed": (skewed, skewed, True),
    "one seed in ten fails": (failing, failing, False),
}


def samples(values: NDArray[np.float64]) -> list[Sample]:
    """Convert values, experiments × seeds, to a sample for each experiment."""
    return [Sample(tuple(row)) for row in values.tolist()]


def simulate(experiments: int, rng: np.random.Generator) -> list[Table]:
    """Simulate all intervals over seeds."""
    return [intervals(experiments, rng), power(experiments, rng), needed(max(experiments // 4, 1), rng)]


def intervals(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate how often the intervals over seeds hold the truth, which is 0."""
    columns = ("truth", "seeds", "mean", "Welch", "paired", "one further run")
    remark = (
        "Where samples have no spread, Convline gives no interval, and the experiment does not count. Where a mean is "
        "no farther from 100 % than three standard deviations, a report says that its interval holds less often"
    )
    table = Table("Coverage of the 95 % intervals over seeds", columns, [], f"{experiments:,}", remark)
    for name, (draw_a, draw_b, claimed) in TRUTHS.items():
        for n in SEEDS:
            a, b = samples(draw_a(rng, (experiments, n))), samples(draw_b(rng, (experiments, n)))
            further = draw_a(rng, (experiments,)).tolist()
            predicted = [
                (low <= y <= high) for (low, high), y in zip(map(prediction_interval, a), further, strict=True)
            ]
            independent = [d for pair in zip(a, b, strict=True) if (d := welch(*pair))]
            by_seed = [d for pair in zip(a, b, strict=True) if (d := paired(*pair))]
            table.rows.append(
                (
                    name,
                    n,
                    coverage(
                        (sample.interval for sample in a if sample.has_spread), 0.0, claimed and draw_a is not skewed
                    ),
                    coverage(((d.low, d.high) for d in independent), 0.0, claimed),
                    coverage(((d.low, d.high) for d in by_seed), 0.0, claimed),
                    Rate(sum(predicted), len(predicted), "coverage" if claimed else ""),
                )
            )
    return table


def power(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate how often a difference is supported with the number of seeds that Convline says is needed."""
    columns = ("true difference", "spreads", "seeds needed", "difference supported")
    remark = f"The number is the smallest with {100 * POWER:.0f} %"
    table = Table("Power with the seeds needed, from the true difference and spreads", columns, [], "", remark)
    for difference in (0.5, 1.0, 2.0, 4.0):
        for sd_b in (1.0, 3.0):
            n = seeds_needed(difference, 1.0, sd_b)
            assert n is not None
            a, b = samples(difference + normal(rng, (experiments, n))), samples(sd_b * normal(rng, (experiments, n)))
            found = [bool(d and d.is_supported) for d in map(welch, a, b)]
            table.rows.append((f"{difference:g} sd of A", f"1 : {sd_b:g}", n, Rate(sum(found), experiments)))
    return Table(table.title, columns, table.rows, f"{experiments:,}", remark)


def needed(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate the number of seeds needed when difference and spread are estimated from a few seeds."""
    true = seeds_needed(1.0, 1.0, 1.0)
    columns = ("seeds", "5 % below", "median", "5 % above")
    remark = f"The true difference is one standard deviation, for which {true} seeds are needed"
    table = Table("Seeds needed, from an observed difference and spread", columns, [], f"{experiments:,}", remark)
    for n in SEEDS:
        a, b = samples(1 + normal(rng, (experiments, n))), samples(normal(rng, (experiments, n)))
        found = [seeds_needed(x.mean - y.mean, x.sd, y.sd) for x, y in zip(a, b, strict=True)]
        ordered = sorted(number or 1001 for number in found)
        quantiles = [ordered[int(share * (len(ordered) - 1))] for share in (0.05, 0.5, 0.95)]
        table.rows.append((str(n), *("more than 1,000" if q > 1000 else f"{q:,}" for q in quantiles)))
    return table
