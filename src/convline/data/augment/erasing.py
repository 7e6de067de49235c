"""Replace rectangles by the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, RandomParameters, RandomStream, Shape, argument
from convline.data.augment.memory_layout import replace_boxes

ATTEMPTS = 10  # rectangles tried until one fits, as in torchvision's RandomErasing


@dataclass(frozen=True)
class Cutout(Augmentation):
    """Fill a square of `size` pixels a side; its center is any pixel, so part of it may lie outside.

    Random parameters: the square's first row and column, -⌊`size`/2⌋ to the side - 1 - ⌊`size`/2⌋.

    Source: DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    """

    effect = (
        "replaces a square of `size`×`size` pixels by the mean; its center is anywhere, so part of it may lie outside"
    )
    source = "DeVries & Taylor 2017"

    size: int = argument("pixels", 8)

    def incompatibility(self, input_shape: Shape) -> str:
        """Refuse a square that is larger than the image."""
        most = min(input_shape[1:])
        if self.size <= most:
            return ""
        return f"a square of {self.size} pixels a side is larger than the image; type cutout({most}) or less"

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample two parameters an image."""
        centers = stream.generator().integers(input_shape[1:], size=(num_images, 2))
        return (centers - self.size // 2).astype(np.float32)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Fill the squares."""
        corners = parameters.long()
        return replace_boxes(images, torch.cat([corners, corners + self.size], 1), fill)


@dataclass(frozen=True)
class Erase(Augmentation):
    """Random erasing: fill a rectangle inside the image, with probability `p`.

    Its share of the area is uniform in `min_area` to `max_area`, its height over its width uniform on a logarithmic
    scale in `ratio` to 1/`ratio`. If none of ten such rectangles fits, the image is not changed.

    Random parameters: first row, first column, height and width in pixels; 0 if nothing is erased.

    Source: Zhong et al., "Random Erasing Data Augmentation", 2017, algorithm 1, with the mean instead of random
    values. The logarithmic scale, which favors neither side, is torchvision's.
    """

    effect = (
        "random erasing: with probability `p` replaces a rectangle inside the image by the mean; its share of the "
        "area is `min_area` to `max_area`, height over width `ratio` to 1/`ratio`"
    )
    source = "Zhong et al. 2017"
    aliases = ("randomerasing",)

    p: float = argument("probability", 0.5)
    min_area: float = argument("area", 0.02)
    max_area: float = argument("area", 0.4)
    ratio: float = argument("ratio", 0.3)

    def incompatibility(self, input_shape: Shape) -> str:
        """Refuse areas for which no square is at least a pixel and smaller than the image."""
        smallest, largest = (
            round(math.sqrt(share * math.prod(input_shape[1:]))) for share in (self.min_area, self.max_area)
        )
        if max(smallest, 1) < min(input_shape[1:]) and largest >= 1:
            return ""
        return f"no square with {self.min_area} to {self.max_area} of the area fits in; type other areas"

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample four parameters an image."""
        rng, sides = stream.generator(), np.array(input_shape[1:])
        chosen = rng.random(num_images) < self.p
        area = rng.uniform(self.min_area, self.max_area, (num_images, ATTEMPTS)) * sides.prod()
        bound = np.log(self.ratio)
        root = np.exp(rng.uniform(bound, -bound, (num_images, ATTEMPTS)) / 2)
        sizes = np.rint(np.stack([np.sqrt(area) * root, np.sqrt(area) / root], 2))
        fits = ((sizes >= 1) & (sizes < sides)).all(2)
        size = sizes[np.arange(num_images), fits.argmax(1)]
        size *= (chosen & fits.any(1))[:, None]
        corner = np.floor(rng.random((num_images, 2)) * (sides - size + 1)) * (size > 0)
        return np.concatenate([corner, size], 1).astype(np.float32)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Fill the rectangles."""
        corners, sizes = parameters.long().split(2, 1)
        return replace_boxes(images, torch.cat([corners, corners + sizes], 1), fill)
