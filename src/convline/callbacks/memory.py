"""How much memory a run has taken."""

import resource
import sys

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from convline.callbacks.tensorboard import event_writer


class Memory(Callback):
    """Writes `memory/peak_GiB` at each epoch's end: of tensors on the GPU, or of the whole process on the processor."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it."""
        writer = event_writer(trainer)
        if writer is not None:
            writer.add_scalar("memory/peak_GiB", peak_bytes(pl_module.device) / 2**30, trainer.global_step)


def peak_bytes(device: torch.device) -> int:
    """The most that was in use at one time, since the process began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024  # kibibytes everywhere but there
