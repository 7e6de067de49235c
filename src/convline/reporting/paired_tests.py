"""Compare the predictions of two groups of networks on the same images: paired bootstrap and McNemar's test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convline.errors import UserError
from convline.formatting import first_line
from convline.reporting.run_records import RunRecord
from convline.reporting.statistics import CONFIDENCE, Difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUM_RESAMPLES = 9999


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two networks on the same images.

    Args:
        runs: names of A's run and B's run.
        seeds: of the same.
        only_a, only_b: images that one network alone predicts correctly.
        p: exact, two-sided: the probability of so uneven a split if both were correct equally often.

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
    """A comparison on the same images, with these networks as they are.

    Args:
        num_images: of the split.
        difference: of the mean metric of all networks of a side; the interval is the bootstrap's over images, p is nan.
        pairs: one for each pair of networks.
        by_seed: whether the two of a pair have the same seed; else they go by order.
    """

    num_images: int
    difference: Difference
    pairs: list[McNemar]
    by_seed: bool


def compare_on_images(
    a: Sequence[RunRecord], b: Sequence[RunRecord], split: str, metric: str
) -> ImageComparison | None:
    """Compare the saved logits of two groups.

    Args:
        a, b: the runs of each side.
        split: "test" or "val".
        metric: "acc" or "loss".
    Returns:
        None if a run has no predictions.
    Raises:
        UserError: a file is damaged, or the runs were not evaluated on the same images in the same order.
    """
    paths = [run.folder / "predictions" / f"{split}.npz" for run in [*a, *b]]
    if not all(path.is_file() for path in paths):
        return None
    import numpy as np

    loaded = {run.folder: _load(run, split) for run in [*a, *b]}
    first = a[0]
    for run in [*a, *b]:
        if not np.array_equal(loaded[run.folder][1], loaded[first.folder][1]):
            raise UserError(
                f"{run.folder} and {first.folder} were not evaluated on the same {split} images: their labels differ.\n"
                "  Compare runs on the same data, with the same data.split_seed and limits."
            )
    means = [np.mean([_figures(*loaded[run.folder], metric) for run in side], axis=0) for side in (a, b)]
    pairs, by_seed = _pairs(a, b)
    return ImageComparison(
        num_images=len(loaded[first.folder][1]),
        difference=bootstrap(means[0] - means[1]),
        pairs=[_mcnemar(x, y, loaded) for x, y in pairs],
        by_seed=by_seed,
    )


def bootstrap(differences: "NDArray[np.float64]") -> Difference:
    """Return the mean of one difference per image, with its percentile interval over resampled images.

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
    of_seed = {str(run.seed): run for run in b}
    same = [(run, of_seed[str(run.seed)]) for run in a if str(run.seed) in of_seed]
    return (same, True) if same else (list(zip(a, b, strict=False)), False)


def _mcnemar(
    a: RunRecord, b: RunRecord, loaded: "Mapping[Path, tuple[NDArray[np.float32], NDArray[np.int64]]]"
) -> McNemar:
    correct = [loaded[run.folder][0].argmax(axis=1) == loaded[run.folder][1] for run in (a, b)]
    return McNemar((a.folder.name, b.folder.name), (a.seed, b.seed), *mcnemar(*correct))


def _figures(logits: "NDArray[np.float32]", labels: "NDArray[np.int64]", metric: str) -> "NDArray[np.float64]":
    """Return one value per image: 1 if it is predicted correctly, or its cross-entropy in nats."""
    import numpy as np

    if metric == "acc":
        return (logits.argmax(axis=1) == labels).astype(np.float64)
    from scipy.special import logsumexp

    wide = logits.astype(np.float64)
    return logsumexp(wide, axis=1) - wide[np.arange(len(labels)), labels]


def _load(run: RunRecord, split: str) -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
    import numpy as np

    path = run.folder / "predictions" / f"{split}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            logits, labels = file["logits"], file["labels"]
        if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
            raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not belong together")
        return logits, labels
    except Exception as error:  # NumPy and zipfile raise many kinds
        raise UserError(f"{path} is damaged: {first_line(error)}") from error
