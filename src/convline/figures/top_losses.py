"""The images of which the network is most wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from convline.figures import canvas
from convline.figures import predictions as prediction_grid
from convline.training.evaluation import Evaluation
from convline.training.loaded_run import Run, opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mistakes(run: Run, part: str = "val", rows: int = 3, columns: int = 8) -> Figure:
    """The wrongly classified images with the highest loss, the worst one first.

    Args:
        run: of a finished run.
        part: "val" or "test".
        rows, columns: of the grid, at most.
    Raises:
        UserError: the run's predictions or its data are missing.
    """
    run = opened(run)
    said = run.predictions(part)
    places = worst(said)
    title = f"The worst of {len(places)} mistakes among {len(said.labels):,} {canvas.PARTS[part]} images"
    if not len(places):
        figure = canvas.blank(480, 60)
        canvas.write(
            figure,
            10,
            20,
            f"No mistakes among {len(said.labels):,} {canvas.PARTS[part]} images",
            canvas.LARGE,
            bold=True,
        )
        return figure
    return prediction_grid.draw(run, part, said, places[: rows * columns], columns, title)


def worst(said: Evaluation) -> torch.Tensor:
    """Places of all wrongly classified images, by falling cross-entropy."""
    losses = F.cross_entropy(said.logits.double(), said.labels, reduction="none")
    wrong = (said.logits.argmax(dim=1) != said.labels).nonzero().flatten()
    return wrong[losses[wrong].argsort(descending=True, stable=True)]
