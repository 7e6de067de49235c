"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convline.figures import canvas
from convline.figures.needs import from_predictions
from convline.training.loaded_run import Run, opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_WITH_NUMBERS = 20  # classes
MOST_LISTED = 20  # confusions, beside a matrix without numbers
_BLUE, _RED = np.array([31, 95, 191]), np.array([198, 40, 40])


@from_predictions
def confusion_matrix(run: Run, split: str = "val", normalized: bool = False) -> Figure:
    """The confusion matrix: rows are true classes, columns predicted ones; blue is right, red is wrong.

    Args:
        run: of a finished run.
        split: "val" or "test".
        normalized: per cent of each true class in the cells, instead of images.
    Raises:
        UserError: the run's predictions are missing.
    """
    run = opened(run)
    predictions = run.predictions(split)
    counts = matrix(predictions.labels.numpy(), predictions.logits.argmax(dim=1).numpy(), predictions.logits.shape[1])
    return draw(counts, run.classes, normalized, f"{len(predictions.labels):,} {canvas.SPLIT_NAMES[split]} images")


@from_predictions
def confusion_matrix_normalized(run: Run, split: str = "val") -> Figure:
    """Draw the confusion matrix in per cent of each true class; see `confusion_matrix`."""
    return confusion_matrix(run, split, normalized=True)


def matrix(labels: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Images of each true class (row) that were taken for each class (column)."""
    return np.bincount(labels * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row divided by its sum; a class without images has a row of zeros."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def draw(counts: NDArray[np.int64], classes: Sequence[str], normalized: bool, caption: str) -> Figure:
    """The figure of a matrix; cells are colored by their share of the row, errors on a scale of their own."""
    number = len(classes)
    cell = 46 if number <= 12 else 36 if number <= MOST_WITH_NUMBERS else max(8, 900 // number)
    size = canvas.NORMAL if cell >= 14 else 5.0
    names = max(canvas.text_width(name, size) for name in classes)
    left, top, side = 40 + names, 62, cell * number
    pairs = [] if number <= MOST_WITH_NUMBERS else _confusions(counts, classes)
    beside = 44 + max(map(canvas.text_width, pairs)) if pairs else 20
    title = f"Confusion matrix, {'per cent of each true class' if normalized else 'images'}"
    told = f"{caption}, {counts.trace() / max(counts.sum(), 1):.2%} right (blue)"
    width = max(
        left + side + beside, 24 + canvas.text_width(title, canvas.LARGE, bold=True), 24 + canvas.text_width(told)
    )
    figure = canvas.blank(width, top + side + names + 46)
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    canvas.write(figure, 12, 30, told, color=canvas.FAINT)
    axes = canvas.axes_at(figure, left, top, side, side)
    axes.imshow(_colors(shares(counts)), interpolation="nearest", aspect="auto")
    places = range(number)
    turned = 90 if names > 2 * cell / 3 else 0
    axes.set_xticks(places, classes, fontsize=size, rotation=turned, parse_math=False)
    axes.set_yticks(places, classes, fontsize=size, parse_math=False)
    axes.tick_params(length=0, pad=3)
    axes.set_xlabel("predicted", fontsize=canvas.NORMAL)
    axes.set_ylabel("true", fontsize=canvas.NORMAL)
    if number <= MOST_WITH_NUMBERS:
        _write_numbers(axes, counts, normalized)
    for line, text in enumerate(pairs):
        canvas.write(figure, left + side + 24, top + 18 * line, text, bold=line == 0)
    return figure


def _colors(of_row: NDArray[np.float64]) -> NDArray[np.uint8]:
    """White to blue on the diagonal; elsewhere white to red, by the root, so that single errors are seen."""
    wrong = of_row * (1 - np.eye(len(of_row)))
    depth = np.sqrt(wrong / (wrong.max() or 1)) * 0.9
    np.fill_diagonal(depth, of_row.diagonal() * 0.9)
    ink = np.where(np.eye(len(of_row), dtype=bool)[..., None], _BLUE, _RED)
    return np.rint(255 + (ink - 255) * depth[..., None]).astype(np.uint8)


def _write_numbers(axes: object, counts: NDArray[np.int64], normalized: bool) -> None:
    """A number in each cell that is not empty."""
    of_row = shares(counts)
    dark = _colors(of_row).mean(axis=2) < 140
    for row, column in zip(*np.nonzero(counts), strict=True):
        count, share = counts[row, column], 100 * of_row[row, column]
        text = f"{share:.1f}" if normalized else f"{count:,}"
        color = "white" if dark[row, column] else canvas.INK
        axes.text(column, row, text, ha="center", va="center", fontsize=canvas.NORMAL, color=color)  # type: ignore[attr-defined]


def _confusions(counts: NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    """A title, and the pairs that are confused most, in words, where cells are too small for numbers."""
    wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
    lines = ["most frequent confusions"]
    for place in np.argsort(-wrong, axis=None, kind="stable")[:MOST_LISTED]:
        row, column = divmod(int(place), len(counts))
        if wrong[row, column]:
            lines.append(f"{wrong[row, column]:>4,}  {classes[row]} taken for {classes[column]}")
    return lines
