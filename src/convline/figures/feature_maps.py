"""Draw the output of every layer for a few images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convline.figures import canvas
from convline.figures.arguments import checked
from convline.figures.canvas import Pixels
from convline.figures.fonts import drawable_names
from convline.figures.image_grid import as_tiles, colored, fitted, make_grid
from convline.formatting import shape_text
from convline.network.hooks import UNCHANGED, outputs
from convline.training.loaded_run import RunOrPath, load_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LAYERS = 24
SIDE, STRIP = 42, 16  # pixels: side of a map, height of a dense layer
GAP, BETWEEN = 2, 12  # pixels between maps, and between images

Maps = dict[str, NDArray[np.float32]]  # by layer: images × channels × height × width, or images × units


@checked(num_images=100, num_channels=100)
def feature_maps(run: RunOrPath, num_images: int = 3, num_channels: int = 8) -> Figure:
    """Draw the feature maps of a few fixed validation images after every layer, from the input down; bright is high.

    A row is one layer and shows the same channels of each image on one scale; a dense layer is a strip of its units.

    Args:
        run: a run with a checkpoint.
        num_images: number of images; the first ones of different classes.
        num_channels: number of channels of each layer; the first ones.
    Raises:
        UserError: the run's checkpoint or its data are missing.
    """
    run = load_run(run)
    samples = run.one_sample_per_class(num_images)
    maps = outputs(run.network, samples.images, lambda module: not isinstance(module, UNCHANGED), _to_numpy)
    names = run.label_names(samples.labels, drawable_names(run.classes))
    return draw(as_tiles(samples.pictures.numpy()), names, choose_layers(maps), num_channels)


def _to_numpy(module: nn.Module, output: Tensor) -> NDArray[np.float32]:
    return output.detach().float().cpu().numpy()


def choose_layers(maps: Maps) -> Maps:
    """Choose at most `MAX_LAYERS` layers, evenly, with the first and the last; drop layers in branches first."""
    names = list(maps)
    if len(names) > MAX_LAYERS:
        names = [name for name in names if ".branch" not in name]
    if len(names) > MAX_LAYERS:
        names = [names[round(index)] for index in np.linspace(0, len(names) - 1, MAX_LAYERS)]
    return {name: maps[name] for name in names}


def draw(tiles: NDArray[np.uint8], names: Sequence[str], maps: Maps, num_channels: int) -> Figure:
    """Draw a row for each layer, with a block of maps for each image.

    Args:
        tiles: the images, uint8, N×H×W×3.
        names: classes of the images.
        maps: feature maps by layer.
        num_channels: number of maps in a block.
    """
    rows = [row(values, num_channels) for values in maps.values()]
    block = num_channels * (SIDE + GAP) - GAP
    labels = [f"{name}  {shape_text(values.shape[1:])}" if values.ndim == 2 else name for name, values in maps.items()]
    left, top = 20 + max(map(canvas.text_width, labels)), 40
    tops = top + np.cumsum([SIDE + BETWEEN, *(pixels.shape[0] + 2 * GAP + 4 for pixels in rows)])
    figure = canvas.blank(left + len(tiles) * (block + BETWEEN) - BETWEEN + 16, int(tops[-1]) + 6)
    canvas.write(figure, 12, 10, "Feature maps of every layer", canvas.LARGE, bold=True)
    canvas.paste(figure, make_grid(_resized(tiles), len(tiles), gap=block + BETWEEN - SIDE), left, top)
    for index, name in enumerate(names):
        x = left + index * (block + BETWEEN) + SIDE + 8
        canvas.write(figure, x, top + SIDE / 2 - 6, canvas.shortened(name, block - SIDE - 8))
    for (name, values), label, pixels, y in zip(maps.items(), labels, rows, tops[:-1].tolist(), strict=True):
        canvas.paste(figure, pixels, left, y)
        if values.ndim == 4:
            canvas.write(figure, 12, y + 6, name)
            canvas.write(figure, 12, y + 21, shape_text(values.shape[1:]), canvas.SMALL, canvas.FAINT)
        else:
            canvas.write(figure, 12, y + 1, label)
    return figure


def _resized(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize images to the size of a map."""
    channels = tiles.transpose(0, 3, 1, 2).reshape(-1, *tiles.shape[1:3]).astype(np.float32)
    resized = fitted(channels, SIDE, SIDE).reshape(len(tiles), 3, SIDE, SIDE)
    return np.rint(resized).astype(np.uint8).transpose(0, 2, 3, 1)


def row(values: NDArray[np.float32], num_channels: int) -> Pixels:
    """Draw one layer: for each image a block of maps, or a strip of units; missing channels are white.

    Args:
        values: images × channels × height × width, or images × units.
        num_channels: number of maps in a block.
    """
    channels = values[:, :num_channels] if values.ndim == 4 else values
    low, high = float(channels.min()), float(channels.max())
    if values.ndim == 4:
        maps = (colored(fitted(image, SIDE, SIDE), low, high) for image in channels)
        blocks = [make_grid(tiles, num_channels, gap=GAP) for tiles in maps]
    else:
        width = num_channels * (SIDE + GAP) - GAP
        blocks = [colored(fitted(units[None, None], STRIP, width)[0], low, high) for units in channels]
    return make_grid(np.stack(blocks), len(blocks), gap=BETWEEN)
