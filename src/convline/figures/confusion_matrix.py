"""Draw the confusion matrix: the number of images of each true class by predicted class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convline.errors import UserError
from convline.figures import canvas
from convline.figures.arguments import checked
from convline.figures.fonts import drawable_names, families
from convline.training.loaded_run import RunOrPath, load_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_CLASSES_WITH_NUMBERS = 20
MAX_LISTED = 20  # pairs of classes, beside a matrix without numbers
_BLUE, _RED = np.array([31, 95, 191]), np.array([198, 40, 40])


@checked()
def confusion_matrix(run: RunOrPath, split: str = "val", normalized: bool = False) -> Figure:
    """Draw the confusion matrix: rows are true classes, columns predicted ones; blue is correct, red is incorrect.

    Args:
        run: a finished run.
        split: "val" or "test".
        normalized: write per cent of each true class into the cells, instead of numbers of images.
    Raises:
        UserError: the run's predictions are missing, or its images have several labels.
    """
    run = load_run(run)
    evaluation = run.predictions(split)
    if evaluation.is_multilabel:
        raise UserError(
            "a confusion matrix counts images with one label each, but these have several: TensorBoard's PR Curves tab "
            "shows each label."
        )
    counts = matrix(evaluation.labels.numpy(), evaluation.logits.argmax(dim=1).numpy(), evaluation.logits.shape[1])
    return draw(
        counts,
        drawable_names(run.classes),
        normalized,
        f"{len(evaluation.labels):,} {canvas.SPLIT_NAMES[split]} images",
    )


@checked()
def confusion_matrix_normalized(run: RunOrPath, split: str = "val") -> Figure:
    """Draw the confusion matrix in per cent of each true class; see `confusion_matrix`."""
    return confusion_matrix(run, split, normalized=True)


def matrix(labels: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Count the images of each true class (row) by predicted class (column)."""
    return np.bincount(labels * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide each row by its sum; a class without images has a row of zeros."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def draw(counts: NDArray[np.int64], classes: Sequence[str], normalized: bool, caption: str) -> Figure:
    """Draw a matrix; cells are colored by their share of the row, errors on a scale of their own."""
    num_classes = len(classes)
    cell = 46 if num_classes <= 12 else 36 if num_classes <= MAX_CLASSES_WITH_NUMBERS else max(8, 900 // num_classes)
    size = canvas.NORMAL if cell >= 14 else 5.0
    names = max(canvas.text_width(name, size) for name in classes)
    left, top, side = 40 + names, 62, cell * num_classes
    pairs = [] if num_classes <= MAX_CLASSES_WITH_NUMBERS else _confusions(counts, classes)
    list_width = 44 + max(map(canvas.text_width, pairs)) if pairs else 20
    title = f"Confusion matrix, {'per cent of each true class' if normalized else 'images'}"
    summary = f"{caption}, {counts.trace() / max(counts.sum(), 1):.2%} correct (blue)"
    width = max(
        left + side + list_width,
        24 + canvas.text_width(title, canvas.LARGE, bold=True),
        24 + canvas.text_width(summary),
    )
    figure = canvas.blank(width, top + side + names + 46)
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    canvas.write(figure, 12, 30, summary, color=canvas.FAINT)
    axes = canvas.axes_at(figure, left, top, side, side)
    axes.imshow(_colors(shares(counts)), interpolation="nearest", aspect="auto")
    positions = range(num_classes)
    rotation = 90 if names > 2 * cell / 3 else 0
    family = families("".join(classes))
    axes.set_xticks(positions, classes, fontsize=size, rotation=rotation, parse_math=False, family=family)
    axes.set_yticks(positions, classes, fontsize=size, parse_math=False, family=family)
    axes.tick_params(length=0, pad=3)
    axes.set_xlabel("predicted", fontsize=canvas.NORMAL)
    axes.set_ylabel("true", fontsize=canvas.NORMAL)
    if num_classes <= MAX_CLASSES_WITH_NUMBERS:
        _write_numbers(axes, counts, normalized)
    for index, text in enumerate(pairs):
        canvas.write(figure, left + side + 24, top + 18 * index, text, bold=index == 0)
    return figure


def _colors(of_row: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Color cells white to blue on the diagonal, else white to red; by the square root, so that single errors show."""
    errors = of_row * (1 - np.eye(len(of_row)))
    depth = np.sqrt(errors / (errors.max() or 1)) * 0.9
    np.fill_diagonal(depth, of_row.diagonal() * 0.9)
    ink = np.where(np.eye(len(of_row), dtype=bool)[..., None], _BLUE, _RED)
    return np.rint(255 + (ink - 255) * depth[..., None]).astype(np.uint8)


def _write_numbers(axes: object, counts: NDArray[np.int64], normalized: bool) -> None:
    """Write a number into each cell that is not 0."""
    of_row = shares(counts)
    dark = _colors(of_row).mean(axis=2) < 140
    for row, column in zip(*np.nonzero(counts), strict=True):
        count, share = counts[row, column], 100 * of_row[row, column]
        text = f"{share:.1f}" if normalized else f"{count:,}"
        color = "white" if dark[row, column] else canvas.INK
        axes.text(column, row, text, ha="center", va="center", fontsize=canvas.NORMAL, color=color)  # type: ignore[attr-defined]


def _confusions(counts: NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    """List the most confused pairs of classes as lines of text, for cells that are too small for numbers."""
    errors = counts * (1 - np.eye(len(counts), dtype=np.int64))
    lines = ["most frequent confusions"]
    for index in np.argsort(-errors, axis=None, kind="stable")[:MAX_LISTED]:
        row, column = divmod(int(index), len(counts))
        if errors[row, column]:
            lines.append(f"{errors[row, column]:>4,}  {classes[row]} taken for {classes[column]}")
    return lines
