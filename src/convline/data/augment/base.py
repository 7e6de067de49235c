"""Define the interface of augmentations: sample random parameters for a whole epoch, and apply them to batches.

kornia.augmentation works on batches with parameters for each image too, but it takes float tensors and torch's global
generator. Here images stay bytes as long as possible, and parameters are a function of (seed, epoch, image), so that a
resumed run continues exactly, with any batch size and on any device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convline.pattern.arguments import ArgumentTypes, Parameter, real, whole

Shape = tuple[int, int, int]  # channels, height, width
RandomParameters = NDArray[np.float32]  # a row for each image

# The allowed values of an argument: a check, and a description for error messages.
ARGUMENT_TYPES: ArgumentTypes = {
    "pixels": (whole(1), "a whole number of pixels, at least 1"),
    "count": (whole(1), "a whole number of at least 1"),
    "border": (lambda value: value in ("reflect", "zero"), "reflect or zero"),
    "probability": (lambda value: real(0, 2)(value) and 0 < value <= 1, "a probability above 0 and at most 1"),
    "degrees": (lambda value: real(0, 181)(value) and value <= 180, "an angle of 0 to 180 degrees"),
    "shear": (real(0, 90), "an angle of at least 0 and below 90 degrees"),
    "share": (real(0, 1), "a number of at least 0 and below 1"),
    "area": (lambda value: real(0, 2)(value) and 0 < value <= 1, "a share of the area, above 0 and at most 1"),
    "ratio": (lambda value: real(0, 2)(value) and 0 < value <= 1, "a ratio of sides above 0 and at most 1"),
    "strength": (lambda value: real(0, 2)(value) and value <= 1, "a number from 0 to 1"),
    "hue shift": (lambda value: real(0, 1)(value) and value <= 0.5, "a share of the color circle, from 0 to 0.5"),
    "alpha": (real(1e-3, 1e3), "a number from 0.001 to 1000"),
    "magnitude": (lambda value: whole(0)(value) and value <= 30, "a whole number from 0 to 30"),
}


def argument(kind: str, default: Any) -> Any:
    """Declare an argument of an augmentation, as a field of its dataclass.

    Args:
        kind: a key of `ARGUMENT_TYPES`.
        default: value if the user gives none.
    """
    return field(default=default, metadata={"kind": kind})


@dataclass(frozen=True)
class RandomStream:
    """Seed the random numbers of one operation of a pipeline in one epoch.

    NumPy generates them, because torch's generator on the CPU keeps only 32 bits of its seed. The seed sequence begins
    with (seed, epoch), as the one for the order of the images does; the third number makes the stream independent of
    that order and of the other operations.

    Args:
        seed: seed of the run.
        step: index of the operation in the pipeline, from 0.
        epoch: from 0.
    """

    seed: int
    step: int
    epoch: int

    def generator(self) -> np.random.Generator:
        """Return a new generator, which always gives the same numbers for the same stream."""
        return np.random.default_rng([self.seed, self.epoch, 1 + self.step])


class Augmentation(ABC):
    """Augment batches by one operation. Subclasses are frozen dataclasses whose fields are declared by `argument`.

    `sample_parameters` samples everything random for all images of an epoch at once. The random parameters of an image
    are therefore a function of (seed, epoch, index of the image in the official training set) and of nothing else.
    `__call__` is deterministic, given those.

    Attributes:
        effect: effect on one image, in half a sentence of Markdown.
        source: who described it.
        aliases: other names, in lower case and without underscores.
        mirrors: whether it swaps left and right, which changes the meaning of text and digits.
        mixes: whether it blends each image with the one before it in the batch, so that targets become soft. The first
            random parameter is then the share, 0 to 1, that the image itself keeps; its label keeps the same share.
    """

    effect: ClassVar[str]
    source: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    mirrors: ClassVar[bool] = False
    mixes: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Return the name that the user types: the class's name in lower case."""
        return type(self).__name__.lower()

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """Return the arguments in order, each with its kind and default."""
        declared: Any = cls
        return tuple(Parameter(each.name, each.metadata["kind"], each.default) for each in fields(declared))

    def __str__(self) -> str:
        arguments = ", ".join(f"{each.name}={getattr(self, each.name)}" for each in self.parameters())
        return self.name + (f"({arguments})" if arguments else "")

    def incompatibility(self, input_shape: Shape) -> str:
        """Return why the operation cannot process such images and what to type instead; "" if it can."""
        return ""

    @abstractmethod
    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample the random parameters of one epoch, a row for each image."""

    @abstractmethod
    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Apply the operation to a batch.

        Args:
            images: B×C×H×W, uint8 or float32 in 0…255, in any memory format; not changed.
            parameters: the random parameters of these images, a row each, float32, on the images' device.
            fill: for each channel, the value of uncovered pixels, in 0…255; float32, C, on the images' device.
        Returns:
            As many images of the same shape, uint8 or float32 in 0…255.
        """
