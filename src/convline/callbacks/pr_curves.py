"""Precision and recall of each class, on the validation images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convline.callbacks.after_test import AfterTest
from convline.training.loaded_run import LoadedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class PrCurves(AfterTest):
    """Fills the PR Curves tab: one against all others, by the class's probability."""

    def after_test(self, run: LoadedRun, writer: SummaryWriter | None, step: int) -> None:
        """Write a curve for each class."""
        if writer is None:
            return
        said = run.predictions("val")
        labels, chances = said.labels.numpy(), said.logits.softmax(dim=1).numpy()
        for number, name in enumerate(run.classes):
            writer.add_pr_curve(f"validation/{name}", labels == number, chances[:, number], step)
