"""Brightness, contrast, saturation and hue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, Draws, Shape, Stream

LUMA = (0.299, 0.587, 0.114)  # red, green and blue in the brightness that is seen: ITU-R BT.601


def greyed(images: Tensor) -> Tensor:
    """B×1×H×W: the luma of colour images; grey ones as they are."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, 1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """Colour images with their hue turned by so many turns of the colour circle each; value and saturation stay.

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
    sixths = sixths + 6 * turns.view(-1, 1, 1)
    channels = []
    for offset in (5, 3, 1):
        distance = (sixths + offset) % 6
        channels.append(value - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1))
    return torch.stack(channels, 1)


@dataclass(frozen=True)
class Jitter(Augmentation):
    """Brightness, contrast, saturation and hue changed at random, in this order. Gives float32.

    The first three are multiplied by a factor uniform in 1 ± the given number, the hue turned by a share of the colour
    circle uniform within ±`hue`. Draws: the three factors and the turn.

    Source: Howard, "Some Improvements on Deep Convolutional Neural Network Based Image Classification", 2013; the
    arithmetic is that of torchvision's `ColorJitter`, which also takes them in random order.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float

    def misfit(self, input_shape: Shape) -> str:
        """Grey images have no colour; others than grey and red-green-blue have no luma."""
        channels = input_shape[0]
        if channels not in (1, 3):
            return f"it knows grey and red-green-blue images, but these have {channels} channels; leave it out"
        if channels == 1 and (self.saturation or self.hue):
            works = self.brightness or self.contrast
            instead = f"type jitter({self.brightness}, {self.contrast})" if works else "leave it out"
            return f"grey images have neither saturation nor hue; {instead}"
        return ""

    def draw(self, stream: Stream, num_images: int, input_shape: Shape) -> Draws:
        """Four draws an image."""
        reach = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        middle = np.array([1, 1, 1, 0])
        return (middle + reach * stream.generator().uniform(-1, 1, (num_images, 4))).astype(np.float32)

    def __call__(self, images: Tensor, draws: Tensor, fill: Tensor) -> Tensor:
        """Multiply and turn."""
        images = images.float()
        brightness, contrast, saturation, turns = draws.view(-1, 4, 1, 1, 1).unbind(1)
        if self.brightness:
            images = (images * brightness).clamp_(0, 255)
        if self.contrast:
            mean = greyed(images).mean((1, 2, 3), keepdim=True)
            images = (images * contrast + mean * (1 - contrast)).clamp_(0, 255)
        if self.saturation:
            images = (images * saturation + greyed(images) * (1 - saturation)).clamp_(0, 255)
        return turned(images, turns) if self.hue else images
