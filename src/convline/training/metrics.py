"""Sum the losses and the correct predictions of an epoch.

torchmetrics' `MeanMetric` and `MulticlassAccuracy` would keep the same sums on the device. Here the losses of an
execution are read anyway, to find one that is not finite. Their sums are then plain numbers of Python: they cost
nothing more, have 64 bits on every device, and fit into a checkpoint as a list.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sums:
    """Hold the sums over the batches of an epoch so far.

    Args:
        loss_sum: mean loss of each batch times its number of images.
        num_correct: number of correct predictions; not an integer if images are mixed (MixUp, CutMix).
        num_images: number of images.
        num_batches: number of batches.
    """

    loss_sum: float = 0.0
    num_correct: float = 0.0
    num_images: int = 0
    num_batches: int = 0

    @classmethod
    def of(cls, losses: Sequence[float], num_correct: Sequence[float], sizes: Sequence[int]) -> "Sums":
        """Sum some batches, from their mean losses, correct predictions and sizes."""
        loss_sum = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
        return cls(loss_sum, sum(num_correct), sum(sizes), len(sizes))

    @classmethod
    def from_row(cls, row: Sequence[float]) -> "Sums":
        """Restore sums from the numbers of `to_row`."""
        loss_sum, num_correct, num_images, num_batches = row
        return cls(loss_sum, num_correct, int(num_images), int(num_batches))

    def to_row(self) -> list[float]:
        """Return the four sums as a list, for a checkpoint or another rank."""
        return [self.loss_sum, self.num_correct, self.num_images, self.num_batches]

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.loss_sum + other.loss_sum,
            self.num_correct + other.num_correct,
            self.num_images + other.num_images,
            self.num_batches + other.num_batches,
        )

    @property
    def loss(self) -> float:
        """Compute the mean loss per image; nan before the first image."""
        return self.loss_sum / self.num_images if self.num_images else math.nan

    @property
    def accuracy(self) -> float:
        """Compute the fraction of correct predictions, 0 to 1; nan before the first image."""
        return self.num_correct / self.num_images if self.num_images else math.nan


def count_correct(logits: Tensor, targets: Tensor) -> Tensor:
    """Count the correct predictions of a batch, without waiting for the device.

    Args:
        logits: N×classes.
        targets: labels, N; or soft targets of mixed images, N×classes, in which case a prediction counts by the target
            of its class.
    Returns:
        A scalar on the device of the logits.
    """
    predictions = logits.argmax(dim=1)
    if targets.is_floating_point():
        return targets.gather(1, predictions.unsqueeze(1)).sum()
    return (predictions == targets).sum().to(torch.float32)
