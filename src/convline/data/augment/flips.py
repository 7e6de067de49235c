"""Mirror images left and right."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, RandomParameters, RandomStream, Shape, argument
from convline.data.augment.memory_layout import as_rows, from_rows, layout_of


def flip_where(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the images whose entry in `chosen` is true.

    Args:
        images: B×C×H×W.
        chosen: bool, B.
    """
    # Gathered from the batch and its mirrored copy: the size of images[chosen] depends on the data, so the CPU would
    # wait until the GPU has computed it.
    layout = layout_of(images)
    both = torch.cat([as_rows(version, layout)[0] for version in (images, images.flip(3))])
    index = torch.arange(len(images), device=images.device) + len(images) * chosen
    return from_rows(both.index_select(0, index), images.shape[1])


@dataclass(frozen=True)
class Flip(Augmentation):
    """Mirror with probability `p`. Random parameters: 1 if mirrored, else 0."""

    effect = "mirrors left and right with probability `p`"
    source = "Krizhevsky, Sutskever & Hinton 2012"
    aliases = ("hflip",)
    mirrors = True

    p: float = argument("probability", 0.5)

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample one parameter an image."""
        return (stream.generator().random((num_images, 1)) < self.p).astype(np.float32)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Mirror the chosen images."""
        return flip_where(images, parameters[:, 0].bool())


@dataclass(frozen=True)
class AltFlip(Augmentation):
    """Alternating flip: mirror each image in every other epoch. The seed decides which images begin mirrored.

    A random flip repeats an image's orientation in half of all pairs of successive epochs; this one never does. Random
    parameters: 1 if mirrored, else 0.

    Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, 2024.
    """

    effect = (
        "alternating flip: mirrored in every other epoch, half of the images in the even ones, so that two "
        "successive epochs show each image both ways"
    )
    source = "Jordan 2024, arXiv 2404.00498"
    aliases = ("alternatingflip",)
    mirrors = True

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample one parameter an image; the parameters of two successive epochs add up to 1."""
        at_first = replace(stream, epoch=0).generator().random((num_images, 1)) < 0.5
        return (at_first ^ (stream.epoch % 2 == 1)).astype(np.float32)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Mirror the chosen images."""
        return flip_where(images, parameters[:, 0].bool())
