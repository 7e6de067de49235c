"""Compute the loss of a batch: modules that `loss=NAME` chooses.

A loss maps logits N×classes and targets to the mean over the images, a scalar. Targets are labels N; for mixed images
(mixup, CutMix) they are the share of each class, N×classes; for multi-label images they are 0 or 1 for each class.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn


def class_shares(targets: Tensor, num_classes: int) -> Tensor:
    """Return targets as the share of each class, N×classes: one-hot for labels."""
    return targets if targets.is_floating_point() else F.one_hot(targets, num_classes).float()


class CrossEntropy(nn.Module):
    """Compute the cross-entropy in nats."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over images."""
        return F.cross_entropy(logits, targets)


class Focal(nn.Module):
    """Compute the focal loss: cross-entropy in which a class of probability p has the weight (1 − p)^gamma.

    Source: Lin, Goyal, Girshick, He & Dollár, "Focal Loss for Dense Object Detection", ICCV 2017, eq. 4.

    Args:
        gamma: 0 is cross-entropy.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        if not (isinstance(gamma, int | float) and 0 <= gamma < math.inf):
            raise ValueError(f"loss.gamma={gamma}: it must be a number from 0")
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over images."""
        log_probabilities = logits.log_softmax(dim=1)
        weights = (1 - log_probabilities.exp()) ** self.gamma
        shares = class_shares(targets, logits.shape[1]).to(logits.dtype)
        return -(shares * weights * log_probabilities).sum(dim=1).mean()


class BinaryCrossEntropy(nn.Module):
    """Compute the binary cross-entropy of each class against all others, in nats."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over images and classes."""
        shares = class_shares(targets, logits.shape[1]).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, shares)


class SquaredError(nn.Module):
    """Compute the squared error of the probabilities, which is the Brier score.

    Source: Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the sum over classes, its mean over images."""
        shares = class_shares(targets, logits.shape[1]).to(logits.dtype)
        return (logits.softmax(dim=1) - shares).square().sum(dim=1).mean()
