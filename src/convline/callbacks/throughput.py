"""Log the speed of training."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convline.training.classifier import Classifier


class Throughput(Callback):
    """Log `images/s` and `seconds/epoch` of training in each epoch, without validation and checkpoints.

    Lightning's ThroughputMonitor synchronizes with the device in every step, and counts batches instead of images.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start, self._num_images = time.perf_counter(), 0
        self._seconds: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of an epoch that is resumed after its start."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images of this rank."""
        self._num_images += batch.num_images

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the speed of all ranks together."""
        seconds = self._seconds or time.perf_counter() - self._start
        num_images = self._num_images * trainer.world_size
        assert isinstance(pl_module, Classifier)
        pl_module.log_epoch({"images/s": num_images / seconds, "seconds/epoch": seconds})
