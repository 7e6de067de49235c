"""Mirroring left and right."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, Draws, Shape, Stream
from convline.data.augment.memory_layout import as_rows, from_rows, layout_of


def mirrored(images: Tensor, chosen: Tensor) -> Tensor:
    """The images, those mirrored whose entry in `chosen` is true.

    Taken from both versions of the batch: no size depends on the draws, so a GPU never waits.
    """
    layout = layout_of(images)
    both = torch.cat([as_rows(version, layout)[0] for version in (images, images.flip(3))])
    index = torch.arange(len(images), device=images.device) + len(images) * chosen
    return from_rows(both.index_select(0, index), images.shape[1])


@dataclass(frozen=True)
class Flip(Augmentation):
    """Mirrored with probability `p`. Draws: 1 if mirrored, else 0."""

    p: float

    def draw(self, stream: Stream, num_images: int, input_shape: Shape) -> Draws:
        """One draw an image."""
        return (stream.generator().random((num_images, 1)) < self.p).astype(np.float32)

    def __call__(self, images: Tensor, draws: Tensor, fill: Tensor) -> Tensor:
        """Mirror those that are to be."""
        return mirrored(images, draws[:, 0].bool())


@dataclass(frozen=True)
class AltFlip(Augmentation):
    """Alternating flip: each image has a random orientation, fixed by the seed, that changes from epoch to epoch.

    A random flip shows an image twice the same way in half of all pairs of epochs; this one never does. Draws: 1 if
    mirrored, else 0.

    Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, 2024.
    """

    def draw(self, stream: Stream, num_images: int, input_shape: Shape) -> Draws:
        """One draw an image; those of two successive epochs add up to 1."""
        at_first = replace(stream, epoch=0).generator().random((num_images, 1)) < 0.5
        return (at_first ^ (stream.epoch % 2 == 1)).astype(np.float32)

    def __call__(self, images: Tensor, draws: Tensor, fill: Tensor) -> Tensor:
        """Mirror those that are to be."""
        return mirrored(images, draws[:, 0].bool())
