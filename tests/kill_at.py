"""A callback that ends the process at a given optimizer step, as a power cut or a scheduler would."""

import os
import signal
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class KillAt(Callback):
    """Sends this process a signal just before the optimizer step with this number, counted over the whole run."""

    def __init__(self, step: int, signum: int = signal.SIGKILL) -> None:
        self.step, self.signum = step, signum

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.signum)


class KillInValidation(Callback):
    """Sends the signal in the validation after this epoch."""

    def __init__(self, epoch: int, signum: int = signal.SIGKILL) -> None:
        self.epoch, self.signum = epoch, signum

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            os.kill(os.getpid(), self.signum)
