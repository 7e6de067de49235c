"""Many small images as one large one."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from convline.figures.canvas import Pixels


def make_grid(tiles: NDArray[np.uint8], columns: int, side: int, gap: int = 2, color: int = 255) -> Pixels:
    """Put tiles side by side, row by row.

    Args:
        tiles: uint8, N×H×W×3.
        columns: of the grid; its last row may be shorter.
        side: pixels of a tile's longer side at least: tiles are enlarged by a whole factor, or left as they are.
        gap: pixels between tiles.
        color: of the gaps and of places without a tile.
    """
    tiles = enlarged(tiles, side)
    number, height, width, _ = tiles.shape
    rows = -(-number // columns)
    picture = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), color, np.uint8)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        top, left = row * (height + gap), column * (width + gap)
        picture[top : top + height, left : left + width] = tile
    return picture


def enlarged(tiles: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Each pixel of N×H×W×3 as a square of pixels, so that the longer side is at least `side`."""
    factor = max(1, -(-side // max(tiles.shape[1:3])))
    return tiles.repeat(factor, axis=1).repeat(factor, axis=2)


def as_tiles(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 N×C×H×W as tiles N×H×W×3; of channels that are no colors the first one is shown in gray."""
    if pictures.shape[1] != 3:
        pictures = pictures[:, :1].repeat(3, axis=1)
    return pictures.transpose(0, 2, 3, 1)


def signed(values: NDArray[np.float32], limit: float) -> NDArray[np.uint8]:
    """Numbers as gray values: 0 is middle gray (128), -limit black, +limit white."""
    if limit <= 0:
        return np.full(values.shape, 128, np.uint8)
    return np.rint(np.clip(values / limit, -1, 1) * 127 + 128).astype(np.uint8)


def colored(values: NDArray[np.float32], low: float, high: float, colors: str = "viridis") -> NDArray[np.uint8]:
    """Numbers of any shape as colors of a color map of matplotlib, with three values at the end of the shape."""
    from matplotlib import colormaps

    scaled = (values - low) / ((high - low) or 1)
    return np.asarray(colormaps[colors](scaled, bytes=True)[..., :3])


def fitted(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """N×H×W at another size: pixels are repeated if it is larger, and averaged if it is smaller."""
    smaller = values.shape[1] > height or values.shape[2] > width
    sized = F.interpolate(torch.from_numpy(values)[None], (height, width), mode="area" if smaller else "nearest")
    return sized[0].numpy()
