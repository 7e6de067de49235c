"""View a batch of either memory format as rows of numbers, so that the same code copies whole rows in both formats.

Without it, broadcasting over the channels of a channels-last batch, or selecting its images, would copy three numbers
at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor


def layout_of(images: Tensor) -> torch.memory_format:
    """Return channels-last if the images have that memory format and no other, else contiguous."""
    is_last = not images.is_contiguous() and images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last and images.shape[1] > 1 else torch.contiguous_format


def as_rows(images: Tensor, layout: torch.memory_format | None = None) -> tuple[Tensor, int]:
    """View images B×C×H×W as contiguous rows B×planes×H×numbers (a copy if needed); return also the numbers per pixel.

    Channels-last images are one plane of H rows with W·C numbers; others are C planes of H rows with W numbers.

    Args:
        images: in any memory format.
        layout: memory format of the rows; None keeps the format of the images.
    """
    layout = layout or layout_of(images)
    images = images.contiguous(memory_format=layout)
    if layout == torch.contiguous_format:
        return images, 1
    return images.permute(0, 2, 3, 1).flatten(2).unsqueeze(1), images.shape[1]


def from_rows(rows: Tensor, channels: int) -> Tensor:
    """View rows of `as_rows` as images B×C×H×W again."""
    if rows.shape[1] == channels:
        return rows
    return rows.view(len(rows), rows.shape[2], -1, channels).permute(0, 3, 1, 2)


def rows_of(values: Tensor, rows: Tensor, per_pixel: int) -> Tensor:
    """Expand one value for each channel to the dtype and layout of rows, for broadcasting."""
    values = values.round().to(rows.dtype) if not rows.is_floating_point() else values
    return values.view(1, -1, 1, 1) if per_pixel == 1 else values.repeat(rows.shape[3] // per_pixel).view(1, 1, 1, -1)


def replace_boxes(images: Tensor, edges: Tensor, other: Tensor) -> Tensor:
    """Replace one box in each image by the same box of `other`.

    Args:
        images: B×C×H×W, uint8 or float32.
        edges: whole numbers B×4: first row, first column, last row + 1, last column + 1; a box may reach beyond its
            image.
        other: images like these, or one value for each channel.
    """
    layout = layout_of(images)
    rows, per_pixel = as_rows(images, layout)
    others = rows_of(other, rows, per_pixel) if other.ndim == 1 else as_rows(other, layout)[0]
    top, left, bottom, right = edges.unsqueeze(2).unbind(1)
    y = torch.arange(rows.shape[2], device=rows.device)
    x = torch.arange(rows.shape[3], device=rows.device) // per_pixel
    # A box is a range of rows and a range of columns: two 1-d masks are broadcast, instead of a mask of image size.
    in_rows = ((y >= top) & (y < bottom)).view(len(rows), 1, -1, 1)
    in_columns = ((x >= left) & (x < right)).view(len(rows), 1, 1, -1)
    if rows.dtype != torch.uint8:
        return from_rows(torch.where(in_rows & in_columns, others, rows), images.shape[1])
    # torch.where on bytes is several times as slow as bitwise operations. The mask is 255 (all bits) inside the box and
    # 0 outside: True is 1, and -1 is 255 in a byte. a ^ ((a ^ b) & mask) is b where the mask is 255, else a.
    mask = in_rows.to(torch.uint8).neg_() & in_columns.to(torch.uint8).neg_()
    return from_rows(rows ^ ((rows ^ others) & mask), images.shape[1])
