"""Two groups of runs and all figures that compare them."""

from collections.abc import Sequence
from dataclasses import dataclass

from convline.errors import UserError
from convline.records import test_log as ledger
from convline.reporting.groups import Group, two_groups
from convline.reporting.paired_tests import OnImages, on_images
from convline.reporting.statistics import Difference, Sample, paired, seeds_needed, welch


@dataclass(frozen=True)
class Comparison:
    """Two groups and what their figures say.

    Args:
        metric: such as "test/acc".
        a, b: the two sides; differences are A − B.
        over_seeds: Welch's interval; None with one seed on a side, or without a spread.
        by_seed: the same over pairs of the same seed; None below two pairs, or likewise.
        needed: seeds of each side that would settle it; None without a spread, or if 1,000 are too few.
        images: on the saved logits; None where some are missing.
        looks: how often the test set was looked at.
    """

    metric: str
    a: Group
    b: Group
    over_seeds: Difference | None
    by_seed: Difference | None
    needed: int | None
    images: OnImages | None
    looks: int


def comparison(words: Sequence[str], by: str | None, part: str, figure: str) -> Comparison:
    """Compare two groups of runs.

    Args:
        words, by: which; see `two_groups`.
        part: "test" or "val".
        figure: "acc" or "loss".
    Raises:
        UserError: there are not two groups, or they were evaluated on different images.
    """
    metric = f"{part}/{figure}"
    a, b = two_groups(words, by, metric)
    images = on_images(a.runs, b.runs, part, figure)
    names = {run.data for run in [*a.runs, *b.runs]}
    if images is None and len({(run.data, run.fingerprint) for run in [*a.runs, *b.runs]}) > 1:
        raise UserError(f"the runs are not on the same data ({', '.join(sorted(names))}), or not on the same split.")
    sample_a, sample_b = a.sample(metric), b.sample(metric)
    over_seeds = welch(sample_a, sample_b)
    homes = {run.home for run in [*a.runs, *b.runs]}
    return Comparison(
        metric=metric,
        a=a,
        b=b,
        over_seeds=over_seeds,
        by_seed=_by_seed(a, b, metric),
        needed=seeds_needed(over_seeds.value, sample_a.sd, sample_b.sd) if over_seeds else None,
        images=images,
        looks=sum(ledger.count(home, data) for home in homes for data in names),
    )


def _by_seed(a: Group, b: Group, metric: str) -> Difference | None:
    figures = {str(run.seed): run.metrics[metric] for run in b.runs}
    both = [(run.metrics[metric], figures[str(run.seed)]) for run in a.runs if str(run.seed) in figures]
    return paired(Sample(tuple(x for x, _ in both)), Sample(tuple(y for _, y in both)))
