"""Convert arrays to small images (tiles), and arrange tiles in a grid."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from convline.figures.canvas import Pixels


def make_grid(
    tiles: NDArray[np.uint8], columns: int, side: int = 1, gap: int | tuple[int, int] = 2, color: int = 255
) -> Pixels:
    """Arrange tiles in one image, row by row.

    `torchvision.utils.make_grid` draws a border around the grid too, leaves no room for missing tiles in its first row,
    and has one gap for both directions.

    Args:
        tiles: uint8, N×H×W×3.
        columns: number of columns of the grid; its last row may be shorter.
        side: pixels of a tile's longer side, at least: tiles are enlarged by an integer factor, or left as they are.
        gap: pixels between tiles, or (between rows, between columns).
        color: gray value of the gaps and of missing tiles.
    """
    tiles = enlarged(tiles, side)
    num_tiles, height, width, _ = tiles.shape
    vertical, horizontal = gap if isinstance(gap, tuple) else (gap, gap)
    num_rows = -(-num_tiles // columns)
    shape = max(num_rows * (height + vertical) - vertical, 0), columns * (width + horizontal) - horizontal, 3
    picture = np.full(shape, color, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        top, left = row * (height + vertical), column * (width + horizontal)
        picture[top : top + height, left : left + width] = tile
    return picture


def enlarged(tiles: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Repeat each pixel of N×H×W×3 by an integer factor, so that the longer side is at least `side`."""
    factor = max(1, -(-side // max(tiles.shape[1:3])))
    return tiles.repeat(factor, axis=1).repeat(factor, axis=2)


def as_tiles(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert images, uint8 N×C×H×W, to tiles N×H×W×3; unless C is 3, the first channel is shown in gray."""
    if pictures.shape[1] != 3:
        pictures = pictures[:, :1].repeat(3, axis=1)
    return pictures.transpose(0, 2, 3, 1)


def signed(values: NDArray[np.float32], limit: float) -> NDArray[np.uint8]:
    """Convert numbers to gray values: 0 becomes middle gray (128), -limit almost black (1), +limit white (255)."""
    if limit <= 0:
        return np.full(values.shape, 128, np.uint8)
    return np.rint(np.clip(values / limit, -1, 1) * 127 + 128).astype(np.uint8)


def colored(values: NDArray[np.float32], low: float, high: float, color_map: str = "viridis") -> NDArray[np.uint8]:
    """Convert an array of any shape to RGB colors of a matplotlib colormap; the result has a last axis of 3."""
    from matplotlib import colormaps

    scaled = (values - low) / ((high - low) or 1)
    return np.asarray(colormaps[color_map](scaled, bytes=True)[..., :3])


def fitted(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize N×H×W: repeat pixels if the new size is larger, average them if it is smaller."""
    smaller = values.shape[1] > height or values.shape[2] > width
    sized = F.interpolate(torch.from_numpy(values)[None], (height, width), mode="area" if smaller else "nearest")
    return sized[0].numpy()
