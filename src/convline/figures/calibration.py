"""Draw the calibration of a network: the reliability diagram and the expected calibration error (ECE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from convline.figures import canvas
from convline.figures.arguments import checked
from convline.training.loaded_run import RunOrPath, load_run
from convline.training.metrics import correct_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = "#e6b0ae"  # opaque: where the accuracy is higher than the confidence, the gap lies on its bar
NUM_BINS = 15


@checked()
def calibration(run: RunOrPath, split: str = "val") -> Figure:
    """Draw the reliability diagram: accuracy against confidence, and a histogram of the confidences.

    Args:
        run: a finished run.
        split: "val" or "test".
    Raises:
        UserError: the run's predictions are missing.
    """
    evaluation = load_run(run).predictions(split)
    if evaluation.is_multilabel:  # each label is a prediction: shown or not, with the probability of that
        shown = evaluation.logits.double().sigmoid()
        is_correct = correct_labels(evaluation.logits, evaluation.labels)
        caption = f"{evaluation.labels.numel():,} labels of {len(shown):,} {canvas.SPLIT_NAMES[split]} images"
        return draw(binned(torch.maximum(shown, 1 - shown).flatten().numpy(), is_correct.flatten().numpy()), caption)
    probabilities, predicted = evaluation.logits.double().softmax(dim=1).max(dim=1)
    return draw(
        binned(probabilities.numpy(), (predicted == evaluation.labels).numpy()),
        f"{len(evaluation.labels):,} {canvas.SPLIT_NAMES[split]} images",
    )


@dataclass(frozen=True)
class Bins:
    """Hold counts and means of images, grouped by the probability of their predicted class into bins of equal width.

    Bin k of n holds the probabilities in (k / n, (k + 1) / n].

    Args:
        counts: number of images in each bin.
        confidence, accuracy: means within each bin, 0 where it is empty.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Compute the expected calibration error: |accuracy - confidence| of each bin, weighted by its images.

        Source: Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", 2017, eq. 3.
        """
        return float((self.counts * np.abs(self.accuracy - self.confidence)).sum() / max(self.counts.sum(), 1))

    @property
    def ece_by_chance(self) -> float:
        """Estimate the ECE that a perfectly calibrated network has on so many images, which is not 0.

        In a bin of n images with mean confidence c, the accuracy then differs from c by sqrt(2 / π · c (1 - c) / n) on
        average, by the normal approximation.
        """
        spread = np.sqrt(2 / np.pi * self.counts * self.confidence * (1 - self.confidence))
        return float(spread.sum() / max(self.counts.sum(), 1))


def binned(probabilities: NDArray[np.float64], is_correct: NDArray[np.bool_], num_bins: int = NUM_BINS) -> Bins:
    """Group images into bins by the probability of their predicted class.

    Args:
        probabilities: probability of the predicted class of each image; N.
        is_correct: whether the predicted class is the true one; N.
        num_bins: number of bins of equal width from 0 to 1.
    """
    index = np.clip(np.ceil(probabilities * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    counts = np.bincount(index, minlength=num_bins)
    divisor = np.maximum(counts, 1)  # an empty bin has means of 0
    confidence = np.bincount(index, probabilities, minlength=num_bins) / divisor
    accuracy = np.bincount(index, is_correct.astype(np.float64), minlength=num_bins) / divisor
    return Bins(counts, confidence, accuracy)


def draw(bins: Bins, caption: str) -> Figure:
    """Draw bars of accuracy, the gap to the mean confidence in red, and the histogram of confidences."""
    num_bins, total = len(bins.counts), max(int(bins.counts.sum()), 1)
    mean_confidence = float((bins.counts * bins.confidence).sum() / total)
    mean_accuracy = float((bins.counts * bins.accuracy).sum() / total)
    figure = canvas.blank(460, 560)
    title = f"Calibration: ECE {bins.ece:.2%} (by chance about {bins.ece_by_chance:.2%})"
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    summary = f"{caption}; mean confidence {mean_confidence:.2%}, accuracy {mean_accuracy:.2%}"
    canvas.write(figure, 12, 30, summary, canvas.SMALL, canvas.FAINT)
    axes = canvas.axes_at(figure, 60, 76, 380, 320)
    edges = np.arange(num_bins + 1) / num_bins
    axes.stairs(bins.accuracy, edges, fill=True, color="#7ba7dd", label="accuracy")
    axes.stairs(bins.confidence, edges, baseline=bins.accuracy, fill=True, color=GAP, label="gap to the confidence")
    axes.plot([0, 1], [0, 1], color=canvas.FAINT, linewidth=1, linestyle="--", label="perfectly calibrated")
    axes.vlines(edges, 0, 1, color="white", linewidth=1.5)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_ylabel("accuracy, and its gap to the confidence", fontsize=canvas.NORMAL)
    # above the bars, which may reach every corner
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=3, fontsize=canvas.SMALL, frameon=False)
    histogram_axes = canvas.axes_at(figure, 60, 424, 380, 90)
    histogram_axes.stairs(100 * bins.counts / total, edges, fill=True, color=canvas.FAINT)
    histogram_axes.set(xlim=(0, 1))
    histogram_axes.set_ylabel("% of images", fontsize=canvas.NORMAL)
    histogram_axes.set_xlabel("confidence: probability of the predicted class", fontsize=canvas.NORMAL)
    return figure
