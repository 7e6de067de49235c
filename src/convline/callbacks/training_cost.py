"""Log the cost of training: images per second, seconds per epoch, and peak memory."""

import resource
import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from convline.callbacks.tensorboard import event_writer
from convline.training.classifier import Classifier


class Throughput(Callback):
    """Log `images/s` and `seconds/epoch` of training in each epoch, without validation and checkpoints.

    Lightning's ThroughputMonitor synchronizes with the device in every step, and counts batches instead of images.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the clock and the number of images."""
        self._start, self._num_images = time.perf_counter(), 0
        self._seconds: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the clock, also for a run that is resumed within an epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images, over all ranks."""
        self._num_images += batch.num_images

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock before validation."""
        self._seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log images per second, summed over ranks, and seconds of the epoch."""
        seconds = self._seconds or time.perf_counter() - self._start
        assert isinstance(pl_module, Classifier)
        pl_module.log_epoch({"images/s": self._num_images / seconds, "seconds/epoch": seconds})


class Memory(Callback):
    """Write `memory/peak_GiB` to TensorBoard at each epoch's end.

    On a GPU it is the peak memory of tensors, on a CPU the peak memory of the whole process.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the peak memory since the process began."""
        writer = event_writer(trainer)
        if writer is not None:
            writer.add_scalar("memory/peak_GiB", peak_bytes(pl_module.device) / 2**30, trainer.global_step)


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory in bytes since the process began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB on Linux
