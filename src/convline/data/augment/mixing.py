"""Images blended with the one before them in the batch (the first with the last), and their labels with them.

Which image that is, is as random as the order of the images. The first draw is the share that an image keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convline.data.augment.base import Augmentation, Draws, Shape, Stream
from convline.data.augment.memory_layout import replace_boxes


def partners(batch: Tensor) -> Tensor:
    """The entry before each one, and the last one for the first."""
    return torch.cat([batch[-1:], batch[:-1]])


def soft_targets(labels: Tensor, shares: Tensor, num_classes: int) -> Tensor:
    """Targets B×num_classes that add up to 1: `shares` for the own label, the rest for the partner's."""
    own = F.one_hot(labels, num_classes).float()
    shares = shares.view(-1, 1)
    return own * shares + partners(own) * (1 - shares)


def _shares(rng: np.random.Generator, alpha: float, p: float, num_images: int) -> np.ndarray:
    mixed = rng.random(num_images) < p
    return np.where(mixed, rng.beta(alpha, alpha, num_images), 1)


@dataclass(frozen=True)
class MixUp(Augmentation):
    """With probability `p`, the weighted mean of two images. Gives float32.

    Draws: the weight of the own image, from Beta(`alpha`, `alpha`).

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018, with a weight for each image, not for the
    batch.
    """

    alpha: float
    p: float

    def draw(self, stream: Stream, num_images: int, input_shape: Shape) -> Draws:
        """One draw an image."""
        return _shares(stream.generator(), self.alpha, self.p, num_images).astype(np.float32)[:, None]

    def __call__(self, images: Tensor, draws: Tensor, fill: Tensor) -> Tensor:
        """Blend."""
        images, share = images.float(), draws.view(-1, 1, 1, 1)
        return images * share + partners(images) * (1 - share)


@dataclass(frozen=True)
class CutMix(Augmentation):
    """With probability `p`, a rectangle of another image is pasted at the same place.

    Its sides are √(1 - share) of the image's, with a share from Beta(`alpha`, `alpha`); its centre is any pixel, and
    what lies outside is cut off. Draws: the share of the area that stays, and the rectangle's first row, first column,
    row behind the last, column behind the last.

    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019,
    with a rectangle for each image, not for the batch.
    """

    alpha: float
    p: float

    def draw(self, stream: Stream, num_images: int, input_shape: Shape) -> Draws:
        """Five draws an image."""
        rng, sides = stream.generator(), np.array(input_shape[1:])
        shares = _shares(rng, self.alpha, self.p, num_images)
        sizes = np.floor(sides * np.sqrt(1 - shares)[:, None])
        corners = rng.integers(sides, size=(num_images, 2)) - sizes // 2
        edges = np.concatenate([corners, corners + sizes], 1).clip(0, np.tile(sides, 2))
        pasted = (edges[:, 2:] - edges[:, :2]).prod(1) / sides.prod()
        return np.concatenate([1 - pasted[:, None], edges], 1).astype(np.float32)

    def __call__(self, images: Tensor, draws: Tensor, fill: Tensor) -> Tensor:
        """Paste."""
        return replace_boxes(images, draws[:, 1:].long(), partners(images))
