"""A callback that counts the batches that it sees."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class CountBatches(Callback):
    """Print the number of batches of an epoch."""

    def __init__(self) -> None:
        self.count = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.count += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        print(f"{self.count} batches")
