"""Callbacks that act once more when the best network has been tested."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from convline.runs import load_checkpoint
from convline.trained import TrainedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class AfterTest(Callback, ABC):
    """A callback that looks at the finished run; training and test are over and cannot be changed by it."""

    @abstractmethod
    def after_test(self, run: TrainedRun, writer: SummaryWriter | None, step: int) -> None:
        """Called once, on one process.

        Args:
            run: with the network that was tested, and its predictions.
            writer: of the event file; None where TensorBoard is off.
            step: optimizer steps that the run has taken.
        """


def tell(trainer: Trainer, run: TrainedRun) -> None:
    """Call all of the trainer's callbacks that wait for this; its loggers have closed their files by now."""
    waiting = [callback for callback in trainer.callbacks if isinstance(callback, AfterTest)]  # type: ignore[attr-defined]
    if not waiting:
        return
    last = run.run_dir / "checkpoints" / "last.ckpt"  # of ranks, or of an earlier process
    step = trainer.global_step or (load_checkpoint(last)["global_step"] if last.is_file() else 0)
    if not any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers):
        for callback in waiting:
            callback.after_test(run, None, step)
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(run.run_dir)) as writer:
        for callback in waiting:
            callback.after_test(run, writer, step)
