"""Augment training images: apply operations to whole batches, on any device.

Notable choices:
- NumPy samples all random parameters once an epoch, a row for each image of the training set. So the augmentation of an
  image depends on (seed, epoch, image) alone: not on the batch size, the number of ranks, the device, or where a run
  was resumed. Mixing is the exception: the image that is mixed in depends on the batch. torch's global generator
  is not used.
- Images stay in 0…255, as bytes where the operations allow it; they are normalized afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, RandomStream, Shape
from convline.data.augment.language import SOURCE
from convline.data.augment.mixing import soft_targets
from convline.errors import UserError
from convline.formatting import shape_text


class Pipeline:
    """Apply operations one after another to batches of training images.

    Args:
        steps: at most one of them mixes, and that one is the last: `parse_augment` checks this.
        input_shape: channels, height and width of the images.
        num_classes: for the soft targets of a mixing step.
        fill: value of uncovered pixels in each channel, in 0…255: the mean, so that they are 0 once normalized, or
            nearly so, since it is rounded where the images are bytes.
        seed: of the run; all random parameters are a function of it, the epoch and the image.
    Raises:
        UserError: an operation does not fit the images.
    """

    def __init__(
        self, steps: tuple[Augmentation, ...], input_shape: Shape, num_classes: int, fill: Tensor, seed: int
    ) -> None:
        for step in steps:
            if problem := step.incompatibility(input_shape):
                size = shape_text(input_shape)
                raise UserError(f"{SOURCE}: {step} does not fit images of {size}: {problem}.")
        self.steps, self.input_shape, self.num_classes, self.seed = steps, input_shape, num_classes, seed
        self._fill = fill.float()

    def random_parameters(self, epoch: int, num_images: int) -> list[Tensor]:
        """Sample the random parameters of one epoch.

        Args:
            epoch: from 0.
            num_images: of the whole official training set.
        Returns:
            For each step a float32 tensor num_images×k on the processor; row i belongs to image i of that set.
        """
        streams = (RandomStream(self.seed, index, epoch) for index in range(len(self.steps)))
        return [
            torch.from_numpy(step.sample_parameters(stream, num_images, self.input_shape))
            for step, stream in zip(self.steps, streams, strict=True)
        ]

    def __call__(self, images: Tensor, labels: Tensor, parameters: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Augment a batch.

        Args:
            images: uint8, B×C×H×W, in either memory format; not changed.
            labels: int64, B, on the same device; of multi-label images float32, B×num_classes.
            parameters: of each step the rows of these images, B×k, on the same device.
        Returns:
            Images, uint8 or float32, still in 0…255; and the labels, or with a mixing step float32 targets
            B×num_classes, which add up to 1 for an image with one label.
        """
        self._fill = self._fill.to(images.device)
        targets = labels
        for step, rows in zip(self.steps, parameters, strict=True):
            images = step(images, rows, self._fill)
            if step.mixes:
                targets = soft_targets(labels, rows[:, 0], self.num_classes)
        return images, targets
