"""Shifts by whole pixels: a larger image, and a window in it for each image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convline.data.augment.base import Augmentation, Draws, Shape, Stream
from convline.data.augment.memory_layout import as_rows, from_rows, layout_of, rows_of


def shifted(images: Tensor, corners: Tensor, pad: int, border: Tensor | str) -> Tensor:
    """Pad the images and cut a window of the original size out of each.

    Args:
        images: B×C×H×W.
        corners: whole numbers 0 to 2·`pad`, B×2: row and column of the window's corner in the padded image.
        pad: pixels on each side, fewer than the image has.
        border: of the padding: one value for each channel, or "zero", or "reflect", which mirrors the image there
            without repeating its last pixel.
    """
    rows, per_pixel = as_rows(images)
    reflects = isinstance(border, str) and border == "reflect"
    padded = _mirror_padded(images, pad) if reflects else _padded(rows, per_pixel, pad, border)
    num_images, planes, height, width = padded.shape
    # A view that holds the window at every number of the buffer; selecting from it copies row by row, without an index
    # for each pixel.
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
    """Pad-and-crop: padded by `pad` pixels on each side, then a random window of the original size.

    `mode` "reflect" mirrors the image at its border (Zagoruyko & Komodakis, "Wide Residual Networks", 2016); "zero"
    pads with pixels of value 0 (He et al., "Deep Residual Learning for Image Recognition", 2015, section 4.2): black,
    not the mean, as torchvision's `RandomCrop` does before normalising.

    Draws: row and column of the window's corner, 0 to 2·`pad`.
    """

    pad: int
    mode: str

    def misfit(self, input_shape: Shape) -> str:
        """There must be enough image to mirror or to keep."""
        return _too_wide(self, self.pad, input_shape)

    def draw(self, stream: Stream, num_images: int, input_shape: Shape) -> Draws:
        """Two draws an image."""
        return stream.generator().integers(2 * self.pad, size=(num_images, 2), endpoint=True).astype(np.float32)

    def __call__(self, images: Tensor, draws: Tensor, fill: Tensor) -> Tensor:
        """Cut the windows out."""
        return shifted(images, draws.long(), self.pad, self.mode)


@dataclass(frozen=True)
class Translate(Augmentation):
    """Shifted by up to `pixels` whole pixels in each direction; uncovered pixels get the fill.

    Draws: pixels down and to the right, -`pixels` to `pixels`.
    """

    pixels: int

    def misfit(self, input_shape: Shape) -> str:
        """Some of the image must stay."""
        return _too_wide(self, self.pixels, input_shape)

    def draw(self, stream: Stream, num_images: int, input_shape: Shape) -> Draws:
        """Two draws an image."""
        shifts = stream.generator().integers(-self.pixels, self.pixels, size=(num_images, 2), endpoint=True)
        return shifts.astype(np.float32)

    def __call__(self, images: Tensor, draws: Tensor, fill: Tensor) -> Tensor:
        """Shift."""
        return shifted(images, self.pixels - draws.long(), self.pixels, fill)
