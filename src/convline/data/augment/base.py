"""What all augmentations have in common: they draw for a whole epoch, and apply the draws to a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convline.data.augment.vocabulary import OPERATIONS

Shape = tuple[int, int, int]  # channels, height, width
Draws = NDArray[np.float32]  # a row for each image


@dataclass(frozen=True)
class Stream:
    """The random numbers of one step of a pipeline in one epoch.

    NumPy's, because torch's generator on the processor keeps only 32 bits of its seed. They begin with (seed, epoch) as
    the order of the images does; what follows keeps all steps apart from it and from each other.

    Args:
        seed: of the run.
        step: the operation's place in the pipeline, from 0.
        epoch: from 0.
    """

    seed: int
    step: int
    epoch: int

    def generator(self) -> np.random.Generator:
        """Always the same numbers for the same stream."""
        return np.random.default_rng([self.seed, self.epoch, 1 + self.step])


class Augmentation(ABC):
    """One operation with its arguments. Subclasses are dataclasses whose fields are the arguments.

    What is random about an image is drawn by `draw`, for all images of an epoch at once: so an image's draws are a
    function of (seed, epoch, place of the image in the official training set) and of nothing else. `__call__` is exact
    given those.
    """

    @property
    def name(self) -> str:
        """As in `augment_words.OPERATIONS`."""
        return type(self).__name__.lower()

    @property
    def mirrors(self) -> bool:
        """Does it swap left and right?"""
        return OPERATIONS[self.name].mirrors

    @property
    def mixes(self) -> bool:
        """Does it blend each image with the one before it in the batch?

        The first draw is then the share, 0 to 1, that the image itself keeps; its label keeps the same.
        """
        return OPERATIONS[self.name].mixes

    def __str__(self) -> str:
        given: Any = self
        arguments = ", ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(given))
        return self.name + (f"({arguments})" if arguments else "")

    def misfit(self, input_shape: Shape) -> str:
        """Why it cannot work on such images and what to type instead; empty if it can."""
        return ""

    @abstractmethod
    def draw(self, stream: Stream, num_images: int, input_shape: Shape) -> Draws:
        """Everything random of one epoch: a row for each image."""

    @abstractmethod
    def __call__(self, images: Tensor, draws: Tensor, fill: Tensor) -> Tensor:
        """Apply it to a batch.

        Args:
            images: B×C×H×W, uint8 or float32 in 0…255, in any memory format; not changed.
            draws: the rows of these images, float32, on their device.
            fill: for each channel, what uncovered pixels become, in 0…255; float32, C, on their device.
        Returns:
            As many images of the same shape, uint8 or float32 in 0…255.
        """
