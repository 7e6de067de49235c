"""What two groups of networks say of the same images: paired bootstrap, and McNemar's test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convline.errors import UserError, first_line
from convline.reporting.run_records import Run
from convline.reporting.statistics import CONFIDENCE, Difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUM_RESAMPLES = 9999


@dataclass(frozen=True)
class McNemar:
    """Two networks on the same images.

    Args:
        runs: names of A's run and B's run.
        seeds: of the same.
        only_a, only_b: images that one alone has right.
        p: exact, two-sided: how likely so uneven a split is if both were right as often.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 1947.
    """

    runs: tuple[str, str]
    seeds: tuple[Any, Any]
    only_a: int
    only_b: int
    p: float


@dataclass(frozen=True)
class OnImages:
    """A comparison on the same images, with these networks as they are.

    Args:
        num_images: of the part.
        difference: of the mean figure of all networks of a side; the interval is the bootstrap's over images, p is nan.
        pairs: one for each pair of networks.
        by_seed: whether the two of a pair have the same seed; else they go by order.
    """

    num_images: int
    difference: Difference
    pairs: list[McNemar]
    by_seed: bool


def on_images(a: Sequence[Run], b: Sequence[Run], part: str, metric: str) -> OnImages | None:
    """Compare the saved logits of two groups.

    Args:
        a, b: the runs of each side.
        part: "test" or "val".
        metric: "acc" or "loss".
    Returns:
        None if a run has no predictions.
    Raises:
        UserError: a file is damaged, or the runs were not evaluated on the same images in the same order.
    """
    paths = [run.folder / "predictions" / f"{part}.npz" for run in [*a, *b]]
    if not all(path.is_file() for path in paths):
        return None
    import numpy as np

    loaded = {run.folder: _load(run, part) for run in [*a, *b]}
    first = a[0]
    for run in [*a, *b]:
        if not np.array_equal(loaded[run.folder][1], loaded[first.folder][1]):
            raise UserError(
                f"{run.folder} and {first.folder} were not evaluated on the same {part} images: their labels differ.\n"
                "  Compare runs on the same data, with the same data.split_seed and limits."
            )
    means = [np.mean([_figures(*loaded[run.folder], metric) for run in side], axis=0) for side in (a, b)]
    pairs, by_seed = _pairs(a, b)
    return OnImages(
        num_images=len(loaded[first.folder][1]),
        difference=bootstrap(means[0] - means[1]),
        pairs=[_mcnemar(x, y, loaded) for x, y in pairs],
        by_seed=by_seed,
    )


def bootstrap(differences: "NDArray[np.float64]") -> Difference:
    """The mean of one difference an image, with its percentile interval over resampled images.

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


def mcnemar(right_a: "NDArray[np.bool_]", right_b: "NDArray[np.bool_]") -> tuple[int, int, float]:
    """Images that A alone has right, those that B alone has, and the exact two-sided p."""
    from scipy import stats

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return only_a, only_b, float(p)


def _pairs(a: Sequence[Run], b: Sequence[Run]) -> tuple[list[tuple[Run, Run]], bool]:
    of_seed = {str(run.seed): run for run in b}
    same = [(run, of_seed[str(run.seed)]) for run in a if str(run.seed) in of_seed]
    return (same, True) if same else (list(zip(a, b, strict=False)), False)


def _mcnemar(a: Run, b: Run, loaded: "Mapping[Path, tuple[NDArray[np.float32], NDArray[np.int64]]]") -> McNemar:
    right = [loaded[run.folder][0].argmax(axis=1) == loaded[run.folder][1] for run in (a, b)]
    return McNemar((a.folder.name, b.folder.name), (a.seed, b.seed), *mcnemar(*right))


def _figures(logits: "NDArray[np.float32]", labels: "NDArray[np.int64]", metric: str) -> "NDArray[np.float64]":
    """One figure an image: 1 if it is right, or its cross-entropy in nats."""
    import numpy as np

    if metric == "acc":
        return (logits.argmax(axis=1) == labels).astype(np.float64)
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]


def _load(run: Run, part: str) -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
    import numpy as np

    path = run.folder / "predictions" / f"{part}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            logits, labels = file["logits"], file["labels"]
        if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
            raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not belong together")
        return logits, labels
    except Exception as error:  # NumPy and zipfile raise many kinds
        raise UserError(f"{path} is damaged: {first_line(error)}") from error
