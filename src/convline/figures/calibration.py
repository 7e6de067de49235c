"""Whether a network is right as often as it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convline.figures import canvas
from convline.figures.needs import from_predictions
from convline.training.loaded_run import Run, opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_BINS = 15


@from_predictions
def calibration(run: Run, split: str = "val") -> Figure:
    """The reliability diagram: accuracy against confidence, and how many images have which confidence.

    Args:
        run: of a finished run.
        split: "val" or "test".
    Raises:
        UserError: the run's predictions are missing.
    """
    said = opened(run).predictions(split)
    chances, guesses = said.logits.double().softmax(dim=1).max(dim=1)
    return draw(
        binned(chances.numpy(), (guesses == said.labels).numpy()),
        f"{len(said.labels):,} {canvas.SPLIT_NAMES[split]} images",
    )


@dataclass(frozen=True)
class Bins:
    """Images by the probability of their predicted class, in bins of equal width; bin k is (k / bins, (k + 1) / bins].

    Args:
        counts: images in each bin.
        confidence, accuracy: means within each bin, 0 where it is empty.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean of |accuracy - confidence| over the images' bins.

        Source: Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", 2017, eq. 3.
        """
        return float((self.counts * np.abs(self.accuracy - self.confidence)).sum() / max(self.counts.sum(), 1))


def binned(chances: NDArray[np.float64], right: NDArray[np.bool_], num_bins: int = NUM_BINS) -> Bins:
    """Put images into bins.

    Args:
        chances: probability of each image's predicted class.
        right: whether that is its class.
        num_bins: of equal width, from 0 to 1.
    """
    places = np.clip(np.ceil(chances * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    counts = np.bincount(places, minlength=num_bins)
    some = np.maximum(counts, 1)
    confidence = np.bincount(places, chances, minlength=num_bins) / some
    accuracy = np.bincount(places, right.astype(np.float64), minlength=num_bins) / some
    return Bins(counts, confidence, accuracy)


def draw(bins: Bins, caption: str) -> Figure:
    """The figure: bars of accuracy, the gap to the mean confidence in red, and the histogram of confidences."""
    number, total = len(bins.counts), max(int(bins.counts.sum()), 1)
    mean_confidence = float((bins.counts * bins.confidence).sum() / total)
    mean_accuracy = float((bins.counts * bins.accuracy).sum() / total)
    figure = canvas.blank(460, 560)
    canvas.write(figure, 12, 10, f"Reliability: ECE {bins.ece:.2%}", canvas.LARGE, bold=True)
    told = f"{caption}; mean confidence {mean_confidence:.2%}, accuracy {mean_accuracy:.2%}"
    canvas.write(figure, 12, 30, told, canvas.SMALL, canvas.FAINT)
    axes = canvas.axes_at(figure, 60, 56, 380, 340)
    edges = np.arange(number + 1) / number
    axes.stairs(bins.accuracy, edges, fill=True, color="#7ba7dd", label="accuracy")
    axes.stairs(
        bins.confidence, edges, baseline=bins.accuracy, fill=True, color=canvas.INCORRECT, alpha=0.35, label="gap"
    )
    axes.plot([0, 1], [0, 1], color=canvas.FAINT, linewidth=1, linestyle="--", label="perfectly calibrated")
    axes.vlines(edges, 0, 1, color="white", linewidth=1.5)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_ylabel("accuracy, and its gap to the confidence", fontsize=canvas.NORMAL)
    axes.legend(loc="upper left", fontsize=canvas.SMALL, frameon=False)
    below = canvas.axes_at(figure, 60, 424, 380, 90)
    below.stairs(100 * bins.counts / total, edges, fill=True, color=canvas.FAINT)
    below.set(xlim=(0, 1))
    below.set_ylabel("% of images", fontsize=canvas.NORMAL)
    below.set_xlabel("confidence: probability of the predicted class", fontsize=canvas.NORMAL)
    return figure
