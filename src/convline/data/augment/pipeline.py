"""The augmentation of training images: a text -> a pipeline that works on whole batches, on any device.

Notable choices:
- All randomness is drawn by NumPy, once an epoch, a row for each image of the training set. So what happens to an image
  depends on (seed, epoch, image) alone: not on the batch size, the number of ranks, the device or where a run was
  resumed. Mixing is the exception: whom an image meets depends on its batch. torch's global random numbers are left
  alone.
- Images stay in 0…255, bytes as long as the operations allow; normalising comes after.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, Shape, Stream
from convline.data.augment.color import Jitter
from convline.data.augment.crops import Crop, Translate
from convline.data.augment.erasing import Cutout, Erase
from convline.data.augment.flips import AltFlip, Flip
from convline.data.augment.geometry import Affine, Rotate
from convline.data.augment.language import SOURCE, read_augment
from convline.data.augment.mixing import CutMix, MixUp, soft_targets
from convline.data.augment.policies import RandAugment, TrivialAugment
from convline.errors import UserError
from convline.formatting import shape_text

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    kind.__name__.lower(): kind
    for kind in (
        Flip,
        AltFlip,
        Crop,
        Translate,
        Cutout,
        Erase,
        Rotate,
        Affine,
        Jitter,
        RandAugment,
        TrivialAugment,
        MixUp,
        CutMix,
    )
}


def parse_augment(spec: Any) -> tuple[Augmentation, ...]:
    """The operations that a list of texts, or one text, names: see `read_augment`.

    Raises:
        PatternError, UserError: the text is wrong.
    """
    return tuple(AUGMENTATIONS[use.name](**use.arguments) for use in read_augment(spec))


class Pipeline:
    """Operations one after another on batches of training images.

    Args:
        steps: at most one of them mixes, and that one is the last, as `parse_augment` sees to.
        input_shape: channels, height and width of the images.
        num_classes: for the soft targets of a mixing step.
        fill: what uncovered pixels become in each channel, in 0…255: the mean, so that they are 0 once normalised, or
            nearly so: it is rounded as long as the images are bytes.
        seed: of the run; every draw is a function of it, the epoch and the image.
    Raises:
        UserError: an operation does not fit the images.
    """

    def __init__(
        self, steps: tuple[Augmentation, ...], input_shape: Shape, num_classes: int, fill: Tensor, seed: int
    ) -> None:
        for step in steps:
            if problem := step.misfit(input_shape):
                size = shape_text(input_shape)
                raise UserError(f"{SOURCE}: {step} does not fit images of {size}: {problem}.")
        self.steps, self.input_shape, self.num_classes, self.seed = steps, input_shape, num_classes, seed
        self._fill = fill.float()

    def draws(self, epoch: int, num_images: int) -> list[Tensor]:
        """Everything random of one epoch.

        Args:
            epoch: from 0.
            num_images: of the whole official training set.
        Returns:
            For each step a float32 tensor num_images×k on the processor; row i belongs to image i of that set.
        """
        streams = (Stream(self.seed, number, epoch) for number in range(len(self.steps)))
        return [
            torch.from_numpy(step.draw(stream, num_images, self.input_shape))
            for step, stream in zip(self.steps, streams, strict=True)
        ]

    def __call__(self, images: Tensor, labels: Tensor, draws: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Augment a batch.

        Args:
            images: uint8, B×C×H×W, in either memory format; not changed.
            labels: int64, B, on the same device.
            draws: of each step the rows of these images, B×k, on the same device.
        Returns:
            Images, uint8 or float32, still in 0…255; and the labels, or with a mixing step float32 targets
            B×num_classes that add up to 1 for each image.
        """
        self._fill = self._fill.to(images.device)
        targets = labels
        for step, draw in zip(self.steps, draws, strict=True):
            images = step(images, draw, self._fill)
            if step.mixes:
                targets = soft_targets(labels, draw[:, 0], self.num_classes)
        return images, targets
