"""Make groups of runs from drawn values, as `convline compare` reads them from run directories."""

from collections.abc import Sequence
from pathlib import Path

from convline.reporting import verdict
from convline.reporting.comparison import Comparison, Group
from convline.reporting.run_records import RunRecord
from convline.reporting.statistics import paired, welch

METRIC, MONITOR = "test/acc", "val/acc"
SUPPORTED = "The data support a difference"  # how a verdict on two groups begins
NOWHERE = Path("runs") / "simulated"  # in the default of `runs_dir`, so that no other folder is searched


def run_records(
    values: Sequence[float], chosen_by: Sequence[float] | None = None, lr: float = 0.1, first_seed: int = 0
) -> list[RunRecord]:
    """Make the records of finished runs of one configuration.

    Args:
        values: test metric of each seed.
        chosen_by: validation metric of each seed; None: that of the test.
        lr: learning rate, which tells configurations apart.
        first_seed: seed of the first run.
    """
    validation = values if chosen_by is None else chosen_by
    return [
        RunRecord(
            NOWHERE,
            "finished",
            settings={"optimizer.lr": lr, "seed": first_seed + index},
            metrics={METRIC: value, MONITOR: monitored},
        )
        for index, (value, monitored) in enumerate(zip(values, validation, strict=True))
    ]


def group(values: Sequence[float], name: str = "") -> Group:
    """Make a group of one configuration."""
    return Group(name, run_records(values))


def verdict_of(a: Group, b: Group) -> list[str]:
    """Write the verdict of `convline compare` on two groups.

    The seeds needed are left out, since their computation takes longer than all the rest together.
    """
    sample_a, sample_b = a.sample(METRIC), b.sample(METRIC)
    by_seed = paired(sample_a, sample_b) if sample_a.n == sample_b.n else None
    result = Comparison(METRIC, a, b, welch(sample_a, sample_b), by_seed, None, None, None, 0)
    return verdict.paragraphs(result)


def is_supported(paragraphs: Sequence[str]) -> bool:
    """Return whether a verdict says that two configurations differ."""
    return paragraphs[0].startswith(SUPPORTED)
