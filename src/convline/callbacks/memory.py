"""Log the peak memory of a run."""

import resource
import sys

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from convline.callbacks.tensorboard import event_writer


class Memory(Callback):
    """Write `memory/peak_GiB` at each epoch's end: of tensors on a GPU, or of the whole process on a CPU."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it."""
        writer = event_writer(trainer)
        if writer is not None:
            writer.add_scalar("memory/peak_GiB", peak_bytes(pl_module.device) / 2**30, trainer.global_step)


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory in bytes since the process began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB on Linux
