"""Apply torchvision's random policies. They work image by image, so they are far slower than other operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, RandomParameters, RandomStream, Shape, argument

NUM_SEEDS = 2**24  # float32 represents every integer up to this number


def _channel_incompatibility(input_shape: Shape) -> str:
    return f"it knows images of 1 or 3 channels, but these have {input_shape[0]}; leave it out" * (
        input_shape[0] not in (1, 3)
    )


def _seeds(stream: RandomStream, num_images: int) -> RandomParameters:
    return stream.generator().integers(NUM_SEEDS, size=(num_images, 1)).astype(np.float32)


def _one_by_one(policy: Callable[[Tensor], Tensor], images: Tensor, parameters: Tensor) -> Tensor:
    """Apply a policy to each image with random numbers of its own, and restore torch's global generator."""
    pixels = images if images.dtype == torch.uint8 else images.round().clamp(0, 255).to(torch.uint8)
    augmented = []
    with torch.random.fork_rng(devices=[]):
        for image, seed in zip(pixels, parameters[:, 0].tolist(), strict=True):
            torch.default_generator.manual_seed(int(seed))  # not torch.manual_seed, which also seeds every GPU
            augmented.append(policy(image))
    return torch.stack(augmented)


@dataclass(frozen=True)
class RandAugment(Augmentation):
    """Apply `num_ops` operations, chosen by torchvision, of strength `magnitude` out of 30. Returns uint8.

    Random parameters: a seed.

    Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", 2020.
    """

    effect = "torchvision's `RandAugment`: `num_ops` random operations of strength `magnitude`; image by image, so slow"
    source = "Cubuk et al. 2020"

    num_ops: int = argument("count", 2)
    magnitude: int = argument("magnitude", 9)

    def incompatibility(self, input_shape: Shape) -> str:
        """Refuse images that are neither gray nor RGB: some operations need one of them."""
        return _channel_incompatibility(input_shape)

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample one parameter an image."""
        return _seeds(stream, num_images)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Apply the policy image by image."""
        from torchvision.transforms import v2

        return _one_by_one(v2.RandAugment(self.num_ops, self.magnitude, fill=fill.tolist()), images, parameters)


@dataclass(frozen=True)
class TrivialAugment(Augmentation):
    """Apply one operation of random strength, both chosen by torchvision. Returns uint8. Random parameters: a seed.

    Source: Müller & Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", 2021.
    """

    effect = "torchvision's `TrivialAugmentWide`: one random operation of random strength; image by image, so slow"
    source = "Müller & Hutter 2021"

    def incompatibility(self, input_shape: Shape) -> str:
        """Refuse images that are neither gray nor RGB: some operations need one of them."""
        return _channel_incompatibility(input_shape)

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample one parameter an image."""
        return _seeds(stream, num_images)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Apply the policy image by image."""
        from torchvision.transforms import v2

        return _one_by_one(v2.TrivialAugmentWide(fill=fill.tolist()), images, parameters)
