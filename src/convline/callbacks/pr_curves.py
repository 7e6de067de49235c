"""Write the precision-recall curve of each class on the validation images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convline.callbacks.after_test import AfterTest
from convline.training.loaded_run import LoadedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class PrCurves(AfterTest):
    """Fill the PR Curves tab: each class against all others, by the class's probability."""

    def after_test(self, run: LoadedRun, writer: SummaryWriter | None, step: int) -> None:
        """Write a curve for each class."""
        if writer is None:
            return
        evaluation = run.predictions("val")
        labels, probabilities = evaluation.labels.numpy(), evaluation.logits.softmax(dim=1).numpy()
        for index, name in enumerate(run.classes):
            writer.add_pr_curve(f"validation/{name}", labels == index, probabilities[:, index], step)
