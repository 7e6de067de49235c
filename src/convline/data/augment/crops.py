"""Shift images by whole pixels: pad them, and cut a window out of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, RandomParameters, RandomStream, Shape, argument
from convline.data.augment.memory_layout import as_rows, from_rows, layout_of, rows_of


def shift_windows(images: Tensor, corners: Tensor, pad: int, border: Tensor | str) -> Tensor:
    """Pad the images and cut a window of the original size out of each.

    Args:
        images: B×C×H×W.
        corners: whole numbers 0 to 2·`pad`, B×2: row and column of the window's corner in the padded image.
        pad: pixels on each side, fewer than the image has.
        border: values of the padding: one for each channel, or "zero", or "reflect", which mirrors the image there
            without repeating its last pixel.
    """
    rows, per_pixel = as_rows(images)
    reflects = isinstance(border, str) and border == "reflect"
    padded = _mirror_padded(images, pad) if reflects else _padded(rows, per_pixel, pad, border)
    num_images, planes, height, width = padded.shape
    # A gather would need an index for every pixel. Instead, `as_strided` makes a view of the padded buffer with one
    # (overlapping) window for every element: window i is the block of rows that begins at element i. Selecting each
    # image's window from that view copies whole rows. `reach` is the distance from a window's first element to its
    # last; the view ends that much before the buffer, so that no window exceeds the buffer.
    strides = (1, *padded.stride()[1:])
    shape = (planes, *rows.shape[2:])
    reach = sum((size - 1) * stride for size, stride in zip(shape, strides[1:], strict=True))
    windows = padded.as_strided((padded.numel() - reach, *shape), strides)
    starts = torch.arange(num_images, device=images.device) * (planes * height * width)
    starts = starts + corners[:, 0] * width + corners[:, 1] * per_pixel
    return from_rows(windows.index_select(0, starts), images.shape[1])


def _padded(rows: Tensor, per_pixel: int, pad: int, border: Tensor | str) -> Tensor:
    num_images, planes, height, width = rows.shape
    side = pad * per_pixel
    padded = rows.new_zeros(num_images, planes, height + 2 * pad, width + 2 * side)
    if isinstance(border, Tensor):
        padded.copy_(rows_of(border, padded, per_pixel))
    padded[:, :, pad : pad + height, side : side + width] = rows
    return padded


def _mirror_padded(images: Tensor, pad: int) -> Tensor:
    # torch pads by reflection too, but not images of bytes on every device
    layout = layout_of(images)
    (rows, per_pixel), (mirrored, _) = as_rows(images, layout), as_rows(images.flip(3), layout)
    num_images, planes, height, width = rows.shape
    side = pad * per_pixel
    padded = rows.new_empty(num_images, planes, height + 2 * pad, width + 2 * side)
    middle = padded[:, :, pad : pad + height]
    middle[..., side : side + width] = rows
    middle[..., :side] = mirrored[..., width - per_pixel - side : width - per_pixel]
    middle[..., side + width :] = mirrored[..., per_pixel : per_pixel + side]
    padded[:, :, :pad] = padded[:, :, pad + 1 : 2 * pad + 1].flip(2)
    padded[:, :, pad + height :] = padded[:, :, height - 1 : height - 1 + pad].flip(2)
    return padded


def _too_wide(step: Augmentation, pixels: int, input_shape: Shape) -> str:
    most = min(input_shape[1:]) - 1
    if pixels <= most:
        return ""
    instead = f"; type {step.name}({most}) or less" if most else "; leave it out"
    return f"{pixels} pixels on a side are not fewer than the image has{instead}"


@dataclass(frozen=True)
class Crop(Augmentation):
    """Pad by `pad` pixels on each side, then cut out a random window of the original size.

    `mode` "reflect" mirrors the image at its border (Zagoruyko & Komodakis, "Wide Residual Networks", 2016); "zero"
    pads with pixels of value 0 (He et al., "Deep Residual Learning for Image Recognition", 2015, section 4.2): black,
    not the mean, as torchvision's `RandomCrop` does before normalizing.

    Random parameters: row and column of the window's corner, 0 to 2·`pad`.
    """

    effect = (
        "pads each side by `pad` pixels and cuts out the original size at a random place; `mode` reflect mirrors "
        "the image at its border, zero makes it black"
    )
    source = "He et al. 2015 (zero); Zagoruyko & Komodakis 2016 (reflect)"

    pad: int = argument("pixels", 4)
    mode: str = argument("border", "reflect")

    def incompatibility(self, input_shape: Shape) -> str:
        """Refuse a padding of at least the image's side, which is too large for reflection."""
        return _too_wide(self, self.pad, input_shape)

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample two parameters an image."""
        return stream.generator().integers(2 * self.pad, size=(num_images, 2), endpoint=True).astype(np.float32)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Cut a window out of each padded image."""
        return shift_windows(images, parameters.long(), self.pad, self.mode)


@dataclass(frozen=True)
class Translate(Augmentation):
    """Shift by up to `pixels` whole pixels in each direction; uncovered pixels get the fill.

    Random parameters: pixels down and to the right, -`pixels` to `pixels`.
    """

    effect = "shifts by whole pixels, up to `pixels` in each direction; uncovered pixels become the mean"
    source = "LeCun et al. 1998"
    aliases = ("shift",)

    pixels: int = argument("pixels", 2)

    def incompatibility(self, input_shape: Shape) -> str:
        """Refuse shifts by the whole side of the image or more."""
        return _too_wide(self, self.pixels, input_shape)

    def sample_parameters(self, stream: RandomStream, num_images: int, input_shape: Shape) -> RandomParameters:
        """Sample two parameters an image."""
        shifts = stream.generator().integers(-self.pixels, self.pixels, size=(num_images, 2), endpoint=True)
        return shifts.astype(np.float32)

    def __call__(self, images: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
        """Shift each image by its random parameters."""
        return shift_windows(images, self.pixels - parameters.long(), self.pixels, fill)
