"""Write metrics of each class to TensorBoard: accuracy after every epoch, precision-recall curves after the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from convline.callbacks.after_test import AfterTest
from convline.callbacks.tensorboard import event_writer
from convline.data.datamodule import datamodule_of
from convline.training.loaded_run import LoadedRun
from convline.training.metrics import correct_labels

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class ClassAccuracy(Callback):
    """Write the validation accuracy of each class to TensorBoard at each epoch's end, as `val_acc_by_class/NAME`."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the counts of images to zero."""
        data = datamodule_of(trainer)
        self._counts = torch.zeros(2, data.num_classes, device=pl_module.device)  # correct images, all images

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Count the correct and all images of an execution, Lightning's batch here, by class, from `outputs`."""
        labels = outputs["labels"]
        if labels.ndim == 2:  # multi-label: each label of each image counts
            self._counts[0] += correct_labels(outputs["logits"], labels).float().sum(dim=0)
            self._counts[1] += len(labels)
            return
        is_correct = (outputs["logits"].argmax(dim=1) == labels).float()
        self._counts[0].index_add_(0, labels, is_correct)
        self._counts[1].index_add_(0, labels, torch.ones_like(is_correct))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sum the counts over all ranks and write the accuracies; a class without images is left out."""
        counts = self._counts if trainer.world_size == 1 else trainer.strategy.reduce(self._counts, reduce_op="sum")
        writer = event_writer(trainer)
        if writer is None:
            return
        data = datamodule_of(trainer)
        for name, num_correct, num_images in zip(data.classes, *counts.tolist(), strict=True):
            if num_images:
                writer.add_scalar(tag(name), num_correct / num_images, trainer.global_step)


def tag(name: str) -> str:
    """Return the tag of a class's accuracy curve, with square brackets for round ones.

    TensorBoard's Custom Scalars tab draws no curve whose tag has round brackets.
    """
    return f"val_acc_by_class/{name.replace('(', '[').replace(')', ']')}"


class PrCurves(AfterTest):
    """Fill TensorBoard's PR Curves tab with a precision-recall curve of each class on the validation images.

    Each class is compared with all others by its predicted probability; a label, with its absence.
    """

    def after_test(self, run: LoadedRun, writer: SummaryWriter | None, step: int) -> None:
        """Write a curve for each class, if TensorBoard is used."""
        if writer is None:
            return
        evaluation = run.predictions("val")
        labels, probabilities = evaluation.labels.numpy(), evaluation.probabilities.numpy()
        for index, name in enumerate(run.classes):
            is_class = labels[:, index] > 0 if evaluation.is_multilabel else labels == index
            writer.add_pr_curve(f"validation/{name}", is_class, probabilities[:, index], step)
