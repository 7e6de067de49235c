"""Blend each image with the one before it in the batch (the first with the last), and their labels with them.

The order of the images is random, and so is the partner. The first random parameter is the share that an image keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convline.data.augment.base import Augmentation, RandomParameters, RandomStream, Shape, argument
from convline.data.augment.memory_layout import replace_boxes


def partners(batch: Tensor) -> Tensor:
    """Return for each entry the one before it, and the last entry for the first."""
    return torch.cat([batch[-1:], batch[:-1]])


def soft_targets(labels: Tensor, shares: Tensor, num_classes: int) -> Tensor:
    """Return targets B×num_classes: `shares` of the own labels, the remainder of the partner's.

    Args:
        labels: B, or of multi-label images B×num_classes; then targets need not sum to 1.
        shares: B.
        num_classes: number of classes.
    """
    own = labels if labels.ndim == 2 else F.one_hot(labels, num_classes).float()
    shares = shares.view(-1, 1)
    return own * shares + partners(own) * (1 - shares)


def _shares(rng: np.random.Generator, alpha: float, p: float, num_images: int) -> np.ndarray:
    mixed = rng.random(num_images) < p
    return np.where(mixed, rng.beta(alpha, alpha, num_images), 1)


@dataclass(frozen=True)
class MixUp(Augmentation):
    """Take the weighted mean of two images, with probability `p`. Returns float32.

    Random parameters: the weight of the own image, from Beta(`alpha`, `alpha`).

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018, with a weight for each image, not for the
    batch.
    """

    effect = (
        "with probability `p` blends each image with another one of the batch, and their labels; the shares follow "
        "Beta(`alpha`, `alpha`)"
    )
    source = "Zhang et al. 2018"
    mixes = True

    alpha: float = argument("alpha", 0.2)
    p: float = argument("probability", 1)

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample one parameter an image."""
        return _shares(stream.generator(), self.alpha, self.p, num_images).astype(np.float32)[:, None]

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Blend each image with its partner."""
        images, share = images.float(), parameters.view(-1, 1, 1, 1)
        return images * share + partners(images) * (1 - share)


@dataclass(frozen=True)
class CutMix(Augmentation):
    """Paste a rectangle of another image at the same position, with probability `p`.

    Its sides are √(1 - share) of the image's, with a share from Beta(`alpha`, `alpha`); its center is any pixel, and
    what lies outside is cut off.

    Random parameters: the share of the area that stays, and the rectangle's first row, first column, row behind the
    last, column behind the last.

    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019,
    with a rectangle for each image, not for the batch.
    """

    effect = (
        "with probability `p` pastes a rectangle of another image of the batch, and mixes their labels by its"
        " area. The share that is kept follows Beta(`alpha`, `alpha`) before the rectangle is cut at the borders, as in"
        " the published code: with `alpha=1` it is about 0.7 on average instead of 0.5"
    )
    source = "Yun et al. 2019"
    mixes = True

    alpha: float = argument("alpha", 1)
    p: float = argument("probability", 1)

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample five parameters an image."""
        rng, sides = stream.generator(), np.array(input_shape[1:])
        shares = _shares(rng, self.alpha, self.p, num_images)
        sizes = np.floor(sides * np.sqrt(1 - shares)[:, None])
        corners = rng.integers(sides, size=(num_images, 2)) - sizes // 2
        edges = np.concatenate([corners, corners + sizes], 1).clip(0, np.tile(sides, 2))
        pasted = (edges[:, 2:] - edges[:, :2]).prod(1) / sides.prod()
        return np.concatenate([1 - pasted[:, None], edges], 1).astype(np.float32)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Paste a rectangle of its partner into each image."""
        return replace_boxes(images, parameters[:, 1:].long(), partners(images))
