"""Validation accuracy of each class, epoch by epoch."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from convline.callbacks.tensorboard import event_writer
from convline.data.datamodule import datamodule_of


class ClassAccuracy(Callback):
    """Writes `val_acc_by_class/NAME` to TensorBoard."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts begin anew."""
        data = datamodule_of(trainer)
        self._counts = torch.zeros(2, data.num_classes, device=pl_module.device)  # images that are right, all images

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Count an execution's images."""
        labels = outputs["labels"]
        right = (outputs["logits"].argmax(dim=1) == labels).float()
        self._counts[0].index_add_(0, labels, right)
        self._counts[1].index_add_(0, labels, torch.ones_like(right))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the shares, over all ranks; nothing for a class without images."""
        counts = self._counts if trainer.world_size == 1 else trainer.strategy.reduce(self._counts, reduce_op="sum")
        writer = event_writer(trainer)
        if writer is None:
            return
        data = datamodule_of(trainer)
        for name, right, images in zip(data.classes, *counts.tolist(), strict=True):
            if images:
                writer.add_scalar(tag(name), right / images, trainer.global_step)


def tag(name: str) -> str:
    """Of a class's curve: with round brackets in it the Custom Scalars tab takes the name apart and draws nothing."""
    return f"val_acc_by_class/{name.replace('(', '[').replace(')', ']')}"
