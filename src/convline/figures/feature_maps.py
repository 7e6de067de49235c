"""What every layer makes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convline.figures import canvas
from convline.figures.canvas import Pixels
from convline.figures.image_grid import as_tiles, colored, fitted
from convline.network.hooks import UNCHANGED, outputs
from convline.training.loaded_run import Run, opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LAYERS = 24  # rows
SIDE, STRIP = 42, 16  # pixels: a map's side, a dense layer's height
GAP, BETWEEN = 2, 12  # pixels between maps, and between images

Maps = dict[str, NDArray[np.float32]]  # by layer: images × channels × height × width, or images × units


def feature_maps(run: Run, num_images: int = 3, num_channels: int = 8) -> Figure:
    """The response maps of a few fixed validation images after every layer, from the input down; bright is high.

    A row is one layer and shows the same channels of each image on one scale; dense layers are strips of their units.

    Args:
        run: with a checkpoint.
        num_images: the first ones of different classes.
        num_channels: of each layer, the first ones.
    Raises:
        UserError: the run's checkpoint or its data are missing.
    """
    run = opened(run)
    examples = run.one_of_each_class(num_images)
    made = outputs(run.network, examples.images, lambda module: not isinstance(module, UNCHANGED), _on_host)
    names = [run.classes[label] for label in examples.labels.tolist()]
    return draw(as_tiles(examples.pictures.numpy()), names, evenly(made), num_channels)


def _on_host(module: nn.Module, output: Tensor) -> NDArray[np.float32]:
    return output.detach().float().cpu().numpy()


def evenly(made: Maps) -> Maps:
    """`MAX_LAYERS` of the layers at most, the first and the last one among them; rather none within forks."""
    names = list(made)
    if len(names) > MAX_LAYERS:
        names = [name for name in names if ".branch" not in name]
    if len(names) > MAX_LAYERS:
        names = [names[round(place)] for place in np.linspace(0, len(names) - 1, MAX_LAYERS)]
    return {name: made[name] for name in names}


def draw(tiles: NDArray[np.uint8], names: Sequence[str], made: Maps, num_channels: int) -> Figure:
    """The figure: a row for each layer, a block for each image."""
    rows = [row(values, num_channels) for values in made.values()]
    block = num_channels * (SIDE + GAP) - GAP
    left = 20 + max(
        canvas.text_width(text)
        for name, values in made.items()
        for text in (f"{name}  {_shape(values)}" if values.ndim == 2 else name,)
    )
    tops = np.cumsum([SIDE + BETWEEN, *(pixels.shape[0] + 2 * GAP + 4 for pixels in rows)]).astype(int)
    picture = np.full((tops[-1], len(tiles) * (block + BETWEEN) - BETWEEN, 3), 255, np.uint8)
    top = 40
    figure = canvas.blank(left + picture.shape[1] + 16, top + len(picture) + 6)
    canvas.write(figure, 12, 10, "Response maps after every layer", canvas.LARGE, bold=True)
    sides = colored_tiles(tiles)
    for place, name in enumerate(names):
        x = place * (block + BETWEEN)
        picture[:SIDE, x : x + SIDE] = sides[place]
        canvas.write(figure, left + x + SIDE + 8, top + SIDE / 2 - 6, canvas.shortened(name, block - SIDE - 8))
    for (name, values), pixels, y in zip(made.items(), rows, tops[:-1], strict=True):
        picture[y : y + pixels.shape[0]] = pixels
        if values.ndim == 4:
            canvas.write(figure, 12, top + y + 6, name)
            canvas.write(figure, 12, top + y + 21, _shape(values), canvas.SMALL, canvas.FAINT)
        else:
            canvas.write(figure, 12, top + y + 1, f"{name}  {_shape(values)}")
    canvas.paste(figure, picture, left, top)
    return figure


def colored_tiles(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The images themselves at the size of a map."""
    number = len(tiles)
    flat = tiles.transpose(0, 3, 1, 2).reshape(-1, *tiles.shape[1:3]).astype(np.float32)
    sized = fitted(flat, SIDE, SIDE).reshape(number, 3, SIDE, SIDE)
    return np.rint(sized).astype(np.uint8).transpose(0, 2, 3, 1)


def row(values: NDArray[np.float32], num_channels: int) -> Pixels:
    """One layer: for each image a block of maps, or a strip of units; white where there are no more channels."""
    block = num_channels * (SIDE + GAP) - GAP
    height = SIDE if values.ndim == 4 else STRIP
    pixels = np.full((height, len(values) * (block + BETWEEN) - BETWEEN, 3), 255, np.uint8)
    shown = values[:, :num_channels] if values.ndim == 4 else values
    low, high = float(shown.min()), float(shown.max())
    for place, image in enumerate(shown):
        x = place * (block + BETWEEN)
        if values.ndim == 4:
            for channel, tile in enumerate(colored(fitted(image, SIDE, SIDE), low, high)):
                pixels[:, x + channel * (SIDE + GAP) :][:, :SIDE] = tile
        else:
            strip = fitted(image[None, None, :], STRIP, block)[0]
            pixels[:, x : x + block] = colored(strip, low, high)
    return pixels


def _shape(values: NDArray[np.float32]) -> str:
    return "×".join(map(str, values.shape[1:]))
