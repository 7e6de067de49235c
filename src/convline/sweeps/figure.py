"""One configuration with several seeds as one figure with its uncertainty."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from convline import runs

CONFIDENCE = 0.95


def figure(directories: Sequence[Path]) -> str:
    """The accuracies of one configuration over its seeds, as mean and interval; empty if there are more than one."""
    if len(directories) < 2 or not _differ_in_seed_alone(directories):
        return ""
    summaries = map(runs.read_summary, directories)
    finished = [summary["metrics"] for summary in summaries if summary["status"] == "finished"]
    if len(finished) < 2:
        return ""
    return "\n".join(
        f"{name} {mean_with_interval([metrics[key] for metrics in finished])}, {len(finished)} seeds"
        for name, key in (("validation accuracy", "val/acc"), ("test accuracy", "test/acc"))
    )


def _differ_in_seed_alone(directories: Sequence[Path]) -> bool:
    first = None
    for path in directories:
        cfg = runs.read_config(path)
        cfg.seed = 0
        without_seed = runs.identity(cfg, "", "")
        first = first or without_seed
        if without_seed != first:
            return False
    return True


def mean_with_interval(shares: Sequence[float]) -> str:
    """Such as `98.91 % ± 0.08 % (95 % interval of the mean)`, by Student's t."""
    from scipy.special import stdtrit

    half = stdtrit(len(shares) - 1, (1 + CONFIDENCE) / 2) * statistics.stdev(shares) / math.sqrt(len(shares))
    return f"{statistics.fmean(shares):.2%} ± {half:.2%} ({CONFIDENCE:.0%} interval of the mean)"
