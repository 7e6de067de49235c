"""torchvision's random policies. They work image by image, so they take far longer than everything else here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, Draws, Shape, Stream

SEEDS = 2**24  # as many whole numbers as float32 holds one by one


def _misfit(input_shape: Shape) -> str:
    return f"it knows images of 1 or 3 channels, but these have {input_shape[0]}; leave it out" * (
        input_shape[0] not in (1, 3)
    )


def _seeds(stream: Stream, num_images: int) -> Draws:
    return stream.generator().integers(SEEDS, size=(num_images, 1)).astype(np.float32)


def _one_by_one(policy: Callable[[Tensor], Tensor], images: Tensor, draws: Tensor) -> Tensor:
    """Apply a policy to each image with random numbers of its own; torch's global ones go on as if nothing had been."""
    pixels = images if images.dtype == torch.uint8 else images.round().clamp(0, 255).to(torch.uint8)
    done = []
    with torch.random.fork_rng(devices=[]):
        for image, seed in zip(pixels, draws[:, 0].tolist(), strict=True):
            torch.default_generator.manual_seed(int(seed))  # not torch.manual_seed: that seeds every GPU too
            done.append(policy(image))
    return torch.stack(done)


@dataclass(frozen=True)
class RandAugment(Augmentation):
    """`num_ops` operations, drawn by torchvision, of strength `magnitude` out of 30. Gives uint8. Draws: a seed.

    Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", 2020.
    """

    num_ops: int
    magnitude: int

    def misfit(self, input_shape: Shape) -> str:
        """Some operations need grey or colour images."""
        return _misfit(input_shape)

    def draw(self, stream: Stream, num_images: int, input_shape: Shape) -> Draws:
        """One draw an image."""
        return _seeds(stream, num_images)

    def __call__(self, images: Tensor, draws: Tensor, fill: Tensor) -> Tensor:
        """Apply it image by image."""
        from torchvision.transforms import v2

        return _one_by_one(v2.RandAugment(self.num_ops, self.magnitude, fill=fill.tolist()), images, draws)


@dataclass(frozen=True)
class TrivialAugment(Augmentation):
    """One operation of random strength, both drawn by torchvision. Gives uint8. Draws: a seed.

    Source: Müller & Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", 2021.
    """

    def misfit(self, input_shape: Shape) -> str:
        """Some operations need grey or colour images."""
        return _misfit(input_shape)

    def draw(self, stream: Stream, num_images: int, input_shape: Shape) -> Draws:
        """One draw an image."""
        return _seeds(stream, num_images)

    def __call__(self, images: Tensor, draws: Tensor, fill: Tensor) -> Tensor:
        """Apply it image by image."""
        from torchvision.transforms import v2

        return _one_by_one(v2.TrivialAugmentWide(fill=fill.tolist()), images, draws)
