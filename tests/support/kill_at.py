"""A callback that ends the process at a given optimizer step, as a power cut or a scheduler would."""

import os
import shutil
import signal
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convline.data.sources import synthetic


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


class KillAtEnd(Callback):
    """Sends the signal when training is over and the test is still to come."""

    def __init__(self, signum: int) -> None:
        self.signum = signum

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        os.kill(os.getpid(), self.signum)


class KillInCopy(Callback):
    """Kills the process when a checkpoint is about to be copied for the `count`-th time."""

    def __init__(self, count: int) -> None:
        copy, calls = shutil.copyfile, iter(range(1, 1000))

        def killing(*args: Any) -> Any:
            if next(calls) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return copy(*args)

        shutil.copyfile = killing  # type: ignore[assignment]


class KillInTest:
    """Synthetic data that send the signal when the test set is asked for the second time: when it is tested on."""

    def __init__(self, signum: int, **settings: Any) -> None:
        self.signum, self.settings, self.asked = signum, settings, 0

    def __call__(self, part: Any) -> Any:
        self.asked += part == "test"
        if self.asked == 2:
            os.kill(os.getpid(), self.signum)
        return synthetic(part, num_test=100, **{k: v for k, v in self.settings.items() if k not in ("num_test",)})


class KillRankAt(Callback):
    """Kills one rank just before the optimizer step with this number; with `once`, only the first time."""

    def __init__(self, rank: int, step: int, once: bool = False) -> None:
        self.rank, self.step, self.once = rank, step, once

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        if trainer.global_rank == self.rank and trainer.global_step == self.step:
            flag = os.path.join(trainer.default_root_dir, "killed")
            if self.once and os.path.exists(flag):
                return
            with open(flag, "w"):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
