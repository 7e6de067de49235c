"""Compare the predictions of two groups of networks on the same images: paired bootstrap and McNemar's test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convline.errors import UserError
from convline.records.predictions import read_predictions
from convline.reporting.run_records import RunRecord
from convline.reporting.statistics import CONFIDENCE, Difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUM_RESAMPLES = 9999
MIN_DIFFERING = 6  # images, all in favor of one side, for p < 0.05: 2 · 0.5⁶ = 0.03


@dataclass(frozen=True)
class McNemar:
    """Hold the result of McNemar's test of two networks on the same images.

    Args:
        runs: names of the run directories of A and B.
        seeds: seeds of A and B.
        only_a, only_b: number of images that one network alone predicts correctly.
        p: exact two-sided p-value under the hypothesis that both networks are correct equally often.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 1947.
    """

    runs: tuple[str, str]
    seeds: tuple[Any, Any]
    only_a: int
    only_b: int
    p: float


@dataclass(frozen=True)
class ImageComparison:
    """Hold a comparison of trained networks on the same images, without regard to other seeds.

    Args:
        num_images: number of images in the split.
        difference: difference between the mean metrics of the two sides, with a bootstrap interval over images; its p
            is nan.
        num_differing: number of images on which the mean metrics of the sides are not equal.
        pairs: McNemar's test of each pair of networks.
            None of multi-label images, of which a prediction is not either correct or incorrect.
        by_seed: whether the networks of a pair have the same seed; otherwise they are paired in their order.
    """

    num_images: int
    difference: Difference
    num_differing: int
    pairs: list[McNemar]
    by_seed: bool

    @property
    def is_supported(self) -> bool:
        """Return whether the networks differ on other images too.

        The bootstrap takes the few images that differ for all that there are; an exact test of signs, such as
        McNemar's, needs `MIN_DIFFERING` of them, and so does this.
        """
        return self.difference.is_supported and self.num_differing >= MIN_DIFFERING


def compare_on_images(
    a: Sequence[RunRecord], b: Sequence[RunRecord], split: str, metric: str
) -> ImageComparison | None:
    """Compare two groups of runs by their saved logits.

    Args:
        a, b: runs of each side.
        split: "test" or "val".
        metric: "acc" or "loss".
    Returns:
        The comparison; None if a run has no saved logits.
    Raises:
        UserError: a file is damaged, or the runs were not evaluated on the same images in the same order.
    """
    paths = [run.folder / "predictions" / f"{split}.npz" for run in [*a, *b]]
    if not all(path.is_file() for path in paths):
        return None
    import numpy as np

    loaded = {run.folder: read_predictions(run.folder / "predictions" / f"{split}.npz") for run in [*a, *b]}
    first_run = a[0]
    for run in [*a, *b]:
        if not np.array_equal(loaded[run.folder][1], loaded[first_run.folder][1]):
            raise UserError(
                f"{run.folder} and {first_run.folder} were not evaluated on the same {split} images: "
                "their labels differ.\n"
                "  Compare runs on the same images, with the same data.split_seed and limits."
            )
    means = [np.mean([_metric_per_image(*loaded[run.folder], metric) for run in side], axis=0) for side in (a, b)]
    pairs, by_seed = _pairs(a, b)
    differences = means[0] - means[1]
    return ImageComparison(
        num_images=len(differences),
        difference=bootstrap(differences),
        num_differing=int(np.count_nonzero(differences)),
        pairs=[] if loaded[first_run.folder][1].ndim == 2 else [_mcnemar(x, y, loaded) for x, y in pairs],
        by_seed=by_seed,
    )


def bootstrap(differences: "NDArray[np.float64]") -> Difference:
    """Compute the mean of one difference per image, and its percentile interval over resampled images.

    Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13.
    """
    import numpy as np
    from scipy import stats

    result = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=NUM_RESAMPLES,
        batch=max(1, 10**7 // len(differences)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = result.confidence_interval
    return Difference(float(differences.mean()), float(low), float(high), float("nan"), len(differences))


def mcnemar(correct_a: "NDArray[np.bool_]", correct_b: "NDArray[np.bool_]") -> tuple[int, int, float]:
    """Count the images that A alone and B alone predict correctly; return both counts and the exact two-sided p."""
    from scipy import stats

    only_a, only_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    p = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return only_a, only_b, float(p)


def _pairs(a: Sequence[RunRecord], b: Sequence[RunRecord]) -> tuple[list[tuple[RunRecord, RunRecord]], bool]:
    run_of_seed = {str(run.seed): run for run in b}
    pairs = [(run, run_of_seed[str(run.seed)]) for run in a if str(run.seed) in run_of_seed]
    return (pairs, True) if pairs else (list(zip(a, b, strict=False)), False)


def _mcnemar(
    a: RunRecord, b: RunRecord, loaded: "Mapping[Path, tuple[NDArray[np.float32], NDArray[np.int64]]]"
) -> McNemar:
    correct = [loaded[run.folder][0].argmax(axis=1) == loaded[run.folder][1] for run in (a, b)]
    return McNemar((a.folder.name, b.folder.name), (a.seed, b.seed), *mcnemar(*correct))


def _metric_per_image(logits: "NDArray[np.float32]", labels: "NDArray[np.int64]", metric: str) -> "NDArray[np.float64]":
    """Compute the metric of each image: 1 or 0 for a correct or incorrect prediction, or the cross-entropy in nats.

    The accuracy of a multi-label image is its share of correct labels.
    """
    import numpy as np

    if labels.ndim == 2:
        return ((logits > 0) == (labels > 0)).mean(axis=1)
    if metric == "acc":
        return (logits.argmax(axis=1) == labels).astype(np.float64)
    from scipy.special import logsumexp

    logits64 = logits.astype(np.float64)
    return logsumexp(logits64, axis=1) - logits64[np.arange(len(labels)), labels]
