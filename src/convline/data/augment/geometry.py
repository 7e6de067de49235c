"""Rotate, shift, scale and shear images by bilinear interpolation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convline.data.augment.base import Augmentation, RandomParameters, RandomStream, Shape, argument


def affine_transform(images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
    """Shear, scale, rotate and shift each image about its center, in this order.

    Args:
        images: B×C×H×W.
        parameters: B×5: angle in degrees (clockwise), shift down and to the right in pixels, scale, shear along x in
            degrees.
        fill: C values; a pixel that lies partly outside the original gets its share of them.
    Returns:
        float32; what torchvision's `affine` gives for each image with these parameters and `fill=None`
            (its `fill=0` weights the pixels of the border twice).
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2  # pixel centers relative to the image's center
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    angle, down, right, scale, shear = (column.view(-1, 1, 1) for column in parameters.unbind(1))
    cos, sin, tan = angle.deg2rad().cos(), angle.deg2rad().sin(), shear.deg2rad().tan()
    # grid_sample takes the inverse map: for each pixel of the result, its position in the original
    along_x = (x - right).view(len(images), 1, width) / scale
    along_y = (y - down.view(-1, 1)).view(len(images), height, 1) / scale
    grid = torch.empty(len(images), height, width, 2, device=images.device)
    torch.add(along_x * (cos - tan * sin) * (2 / width), along_y * (sin + tan * cos) * (2 / width), out=grid[..., 0])
    torch.add(along_x * -sin * (2 / height), along_y * cos * (2 / height), out=grid[..., 1])
    fill = fill.view(1, -1, 1, 1)  # subtracted and added again, since grid_sample pads with zeros
    return F.grid_sample(images - fill, grid, align_corners=False).add_(fill)


@dataclass(frozen=True)
class Affine(Augmentation):
    """Rotate, shift, scale and shear at random; uncovered pixels get the fill. Returns float32.

    Each is uniform: the angle within ±`degrees`, the shift within ±`translate` of the side, the scale within
    1 ± `scale`, the shear along x within ±`shear` degrees. Random parameters: the parameters of `affine_transform`.
    """

    effect = (
        "turns by up to `degrees`, shifts by up to `translate` of the side, scales by 1 ± `scale`, shears by up to "
        "`shear` degrees along x; uncovered pixels become the mean"
    )
    source = "LeCun et al. 1998; Simard, Steinkraus & Platt 2003"

    degrees: float = argument("degrees", 0)
    translate: float = argument("share", 0)
    scale: float = argument("share", 0)
    shear: float = argument("shear", 0)

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample five parameters an image."""
        _, height, width = input_shape
        reach = np.array([self.degrees, self.translate * height, self.translate * width, self.scale, self.shear])
        middle = np.array([0, 0, 0, 1, 0])
        return (middle + reach * stream.generator().uniform(-1, 1, (num_images, 5))).astype(np.float32)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Transform each image by its random parameters."""
        return affine_transform(images, parameters, fill)


@dataclass(frozen=True)
class Rotate(Augmentation):
    """Rotate about the center by an angle uniform within ±`degrees`. Returns float32.

    Random parameters: the angle in degrees.
    """

    effect = "turns about the center by up to `degrees` either way; uncovered pixels become the mean"
    source = "Simard, Steinkraus & Platt 2003"
    aliases = ("rotation",)

    degrees: float = argument("degrees", 15)

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample one parameter an image."""
        return stream.generator().uniform(-self.degrees, self.degrees, (num_images, 1)).astype(np.float32)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Transform each image by its random parameters."""
        zeros, ones = torch.zeros_like(parameters), torch.ones_like(parameters)
        return affine_transform(images, torch.cat([parameters, zeros, zeros, ones, zeros], 1), fill)
