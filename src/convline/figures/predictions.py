"""Images with what the network says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from convline.figures import canvas
from convline.figures.image_grid import as_tiles, enlarged
from convline.training.evaluation import Evaluation
from convline.training.loaded_run import Run, TrainedRun, opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 56  # pixels of an image, at least
SHORT = 3  # characters of the longest class's name that still fit on one line with the rest


def predictions(run: Run, part: str = "val", rows: int = 3, columns: int = 8) -> Figure:
    """The first images of a part, each with `predicted (true) probability`: blue if that is right, red if not.

    Args:
        run: of a finished run.
        part: "val" or "test".
        rows, columns: of the grid.
    Raises:
        UserError: the run's predictions or its data are missing.
    """
    run = opened(run)
    said = run.predictions(part)
    places = torch.arange(min(rows * columns, len(said.labels)))
    return draw(run, part, said, places, columns, f"The first {len(places)} {canvas.PARTS[part]} images")


def draw(run: TrainedRun, part: str, said: Evaluation, places: torch.Tensor, columns: int, title: str) -> Figure:
    """The grid of the images at these places."""
    examples = run.examples(part, places)
    chances, guesses = said.logits[places].softmax(dim=1).max(dim=1)
    lines = [
        caption(run.classes, guess, label, chance)
        for guess, label, chance in zip(guesses.tolist(), examples.labels.tolist(), chances.tolist(), strict=True)
    ]
    right = (guesses == examples.labels).tolist()
    return grid(as_tiles(examples.pictures.numpy()), lines, right, columns, title)


def caption(classes: Sequence[str], guess: int, label: int, chance: float) -> list[str]:
    """What stands above an image: `predicted (true) probability` on one line, or on two if the names are long."""
    per_cent = f"{100 * chance:.0f}%"
    if max(map(len, classes)) <= SHORT:
        return [f"{classes[guess]} ({classes[label]}) {per_cent}"]
    return [f"{_cut(classes[guess])} {per_cent}", f"({_cut(classes[label])})"]


def _cut(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"


def grid(
    tiles: NDArray[np.uint8], lines: Sequence[Sequence[str]], right: Sequence[bool], columns: int, title: str
) -> Figure:
    """The figure.

    Args:
        tiles: uint8, N×H×W×3.
        lines: what stands above each.
        right: whether it stands there in blue or in red.
        columns: of the grid.
        title: above all.
    """
    tiles = enlarged(tiles, SIDE)
    height, width = tiles.shape[1:3]
    text = 4 + 13 * max(map(len, lines), default=1)
    across = max([width, *(canvas.text_width(line, canvas.SMALL) for pair in lines for line in pair)]) + 8
    down = height + text + 8
    rows = -(-len(tiles) // columns)
    top = 36
    figure = canvas.blank(
        max(12 + across * columns, 24 + canvas.text_width(title, canvas.LARGE, bold=True)), top + down * rows
    )
    canvas.write(figure, 10, 10, title, canvas.LARGE, bold=True)
    pixels = np.full((int(down * rows), int(across * columns), 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        y, x = int(row * down), int(column * across)
        pixels[y + text : y + text + height, x : x + width] = tile
        for number, line in enumerate(lines[place]):
            colour = canvas.RIGHT if right[place] else canvas.WRONG
            canvas.write(figure, 10 + x, top + y + 13 * number, line, canvas.SMALL, colour)
    canvas.paste(figure, pixels, 10, top)
    return figure
