"""Logs how fast training goes."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convline.training.classifier import Classifier


class Throughput(Callback):
    """Logs `images/s` and `seconds/epoch` of the training part of each epoch: validation and checkpoints are not in it.

    Lightning's ThroughputMonitor waits for the device in every step and counts batches.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start, self._images = time.perf_counter(), 0
        self._seconds: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of an epoch that is resumed half-way."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count what this rank was given."""
        self._images += batch.num_images

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log; the images of all ranks."""
        seconds = self._seconds or time.perf_counter() - self._start
        images = self._images * trainer.world_size
        assert isinstance(pl_module, Classifier)
        pl_module.log_epoch({"images/s": images / seconds, "seconds/epoch": seconds})
