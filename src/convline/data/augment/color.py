"""Change brightness, contrast, saturation and hue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, RandomParameters, RandomStream, Shape, argument

LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in the luma: ITU-R BT.601


def to_grayscale(images: Tensor) -> Tensor:
    """Convert RGB images to their luma, B×1×H×W; return gray images unchanged."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, 1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def shift_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Shift the hue of RGB images; value and saturation stay.

    Args:
        images: B×3×H×W.
        shifts: B shares of the color circle.

    Source: Smith, "Color Gamut Transform Pairs", SIGGRAPH 1978 (the hexcone model).
    """
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    divisor = torch.where(chroma > 0, chroma, 1)
    sixths = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    sixths = sixths + 6 * shifts.view(-1, 1, 1)
    channels = []
    for offset in (5, 3, 1):
        distance = (sixths + offset) % 6
        channels.append(value - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1))
    return torch.stack(channels, 1)


@dataclass(frozen=True)
class Jitter(Augmentation):
    """Change brightness, contrast, saturation and hue at random, in this order. Returns float32.

    The first three are multiplied by a factor uniform in 1 ± the given number, and the hue is shifted by a share of the
    color circle uniform within ±`hue`. Random parameters: the three factors and the hue shift.

    Source: Howard, "Some Improvements on Deep Convolutional Neural Network Based Image Classification", 2013; the
    computation equals torchvision's `ColorJitter`, which also applies them in random order.
    """

    effect = (
        "multiplies brightness by 1 ± `brightness`, contrast by 1 ± `contrast`, saturation by 1 ± `saturation`, and"
        " shifts the hue by up to `hue` of the color circle, in this order; the latter two need color images"
    )
    source = "Howard 2013, arXiv 1312.5402"
    aliases = ("colorjitter",)

    brightness: float = argument("strength", 0)
    contrast: float = argument("strength", 0)
    saturation: float = argument("strength", 0)
    hue: float = argument("hue shift", 0)

    def incompatibility(self, input_shape: Shape) -> str:
        """Refuse saturation and hue for gray images, and images that are neither gray nor RGB: they have no luma."""
        channels = input_shape[0]
        if channels not in (1, 3):
            return f"it knows gray and red-green-blue images, but these have {channels} channels; leave it out"
        if channels == 1 and (self.saturation or self.hue):
            works = self.brightness or self.contrast
            instead = f"type jitter({self.brightness}, {self.contrast})" if works else "leave it out"
            return f"gray images have neither saturation nor hue; {instead}"
        return ""

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample four parameters an image."""
        reach = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        middle = np.array([1, 1, 1, 0])
        return (middle + reach * stream.generator().uniform(-1, 1, (num_images, 4))).astype(np.float32)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Multiply brightness, contrast and saturation by their factors, and shift the hue."""
        images = images.float()
        brightness, contrast, saturation, hue = parameters.view(-1, 4, 1, 1, 1).unbind(1)
        if self.brightness:
            images = (images * brightness).clamp_(0, 255)
        if self.contrast:
            mean = to_grayscale(images).mean((1, 2, 3), keepdim=True)
            images = (images * contrast + mean * (1 - contrast)).clamp_(0, 255)
        if self.saturation:
            images = (images * saturation + to_grayscale(images) * (1 - saturation)).clamp_(0, 255)
        return shift_hue(images, hue) if self.hue else images
