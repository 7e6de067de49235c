"""Draw images with their predictions: the first ones of a split, or the misclassified ones with the highest loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from convline.figures import canvas
from convline.figures.arguments import checked
from convline.figures.fonts import drawable_names
from convline.figures.image_grid import as_tiles, enlarged, make_grid
from convline.training.evaluation import Evaluation
from convline.training.loaded_run import LoadedRun, RunOrPath, load_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 56  # pixels of an image, at least
MAX_LENGTH_ON_ONE_LINE = 3  # characters of the longest class's name that still fits on one line with the rest
LONG = 14  # characters of a name that is not cut off


@checked(rows=100, columns=100)
def predictions(run: RunOrPath, split: str = "val", rows: int = 3, columns: int = 8) -> Figure:
    """Draw the first images of a split, each with `predicted (true) probability`: blue if correct, red if not.

    Args:
        run: a finished run.
        split: "val" or "test".
        rows, columns: size of the grid.
    Raises:
        UserError: the run's predictions or its data are missing.
    """
    run = load_run(run)
    evaluation = run.predictions(split)
    indices = torch.arange(min(rows * columns, len(evaluation.labels)))
    title = f"The first {len(indices)} {canvas.SPLIT_NAMES[split]} images"
    return _draw_images(run, split, evaluation, indices, columns, title)


@checked(rows=100, columns=100)
def top_losses(run: RunOrPath, split: str = "val", rows: int = 3, columns: int = 8) -> Figure:
    """Draw the misclassified images with the highest loss, the highest first.

    Args:
        run: a finished run.
        split: "val" or "test".
        rows, columns: largest size of the grid.
    Raises:
        UserError: the run's predictions or its data are missing.
    """
    run = load_run(run)
    evaluation = run.predictions(split)
    indices = misclassified_by_loss(evaluation)
    images = f"{len(evaluation.labels):,} {canvas.SPLIT_NAMES[split]} images"
    if not len(indices):
        figure = canvas.blank(480, 60)
        canvas.write(figure, 10, 20, f"No mistakes among {images}", canvas.LARGE, bold=True)
        return figure
    title = f"The worst of {len(indices)} mistakes among {images}"
    return _draw_images(run, split, evaluation, indices[: rows * columns], columns, title)


def misclassified_by_loss(evaluation: Evaluation) -> torch.Tensor:
    """Return the indices of all misclassified images, ordered by decreasing cross-entropy."""
    misclassified = (~evaluation.is_correct).nonzero().flatten()
    return misclassified[evaluation.losses[misclassified].argsort(descending=True, stable=True)]


def _draw_images(
    run: LoadedRun, split: str, evaluation: Evaluation, indices: torch.Tensor, columns: int, title: str
) -> Figure:
    samples, classes = run.samples(split, indices), drawable_names(run.classes)
    logits, probabilities = evaluation.logits[indices], evaluation.probabilities[indices]
    if evaluation.is_multilabel:
        predicted, longest = logits > 0, LONG
        # of all labels together, if they are independent
        probability = torch.where(predicted, probabilities, 1 - probabilities).prod(dim=1)
    else:
        predicted, longest = logits.argmax(dim=1), max(map(len, classes))
        probability = probabilities.amax(dim=1)
    names = zip(
        run.label_names(predicted, classes),
        run.label_names(samples.labels, classes),
        probability.tolist(),
        strict=True,
    )
    captions = [caption(*values, longest) for values in names]
    is_correct = evaluation.is_correct[indices].tolist()
    return draw(as_tiles(samples.pictures.numpy()), captions, is_correct, columns, title)


def caption(predicted: str, true: str, probability: float, longest: int) -> list[str]:
    """Write the caption of an image: `predicted (true) probability`, on two lines if names are long.

    Args:
        predicted, true: names of the classes.
        probability: of the prediction.
        longest: characters of the longest name that a caption of the figure may hold.
    """
    percent = f"{100 * probability:.0f}%"
    if longest <= MAX_LENGTH_ON_ONE_LINE:
        return [f"{predicted} ({true}) {percent}"]
    return [f"{_cut(predicted)} {percent}", f"({_cut(true)})"]


def _cut(name: str) -> str:
    return name if len(name) <= LONG else f"{name[: LONG - 1]}…"


def draw(
    tiles: NDArray[np.uint8],
    captions: Sequence[Sequence[str]],
    is_correct: Sequence[bool],
    columns: int,
    title: str,
) -> Figure:
    """Draw a grid of images with a caption above each.

    Args:
        tiles: uint8, N×H×W×3.
        captions: lines above each image.
        is_correct: whether each caption is blue; else it is red.
        columns: number of columns of the grid.
        title: title of the figure.
    """
    tiles = enlarged(tiles, SIDE)
    height, width = tiles.shape[1:3]
    caption_height = 4 + 13 * max(map(len, captions), default=1)
    caption_width = max((canvas.text_width(line, canvas.SMALL) for lines in captions for line in lines), default=0)
    cell_width, cell_height = max(width, int(caption_width)) + 8, height + caption_height + 8
    left, top = 10, 36
    title_width = canvas.text_width(title, canvas.LARGE, bold=True)
    num_rows = -(-len(tiles) // columns)
    figure = canvas.blank(max(12 + cell_width * columns, 24 + title_width), top + cell_height * num_rows)
    canvas.write(figure, left, 10, title, canvas.LARGE, bold=True)
    for index, lines in enumerate(captions):
        row, column = divmod(index, columns)
        color = canvas.CORRECT if is_correct[index] else canvas.INCORRECT
        for line_index, line in enumerate(lines):
            y = top + row * cell_height + 13 * line_index
            canvas.write(figure, left + column * cell_width, y, line, canvas.SMALL, color)
    pixels = make_grid(tiles, columns, gap=(cell_height - height, cell_width - width))
    canvas.paste(figure, pixels, left, top + caption_height)
    return figure
