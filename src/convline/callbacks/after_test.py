"""Callbacks that act once more when the best network has been tested; what they show is not worth a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from convline.errors import first_line
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
    """Call all of the trainer's callbacks that wait for this; its loggers have closed their files by now.

    One that fails leaves a line that says why: the figures of the test are not lost with it.
    """
    waiting = [callback for callback in trainer.callbacks if isinstance(callback, AfterTest)]  # type: ignore[attr-defined]
    if not waiting:
        return
    last = run.run_dir / "checkpoints" / "last.ckpt"  # of ranks, or of an earlier process
    step = trainer.global_step or (load_checkpoint(last)["global_step"] if last.is_file() else 0)
    if not any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers):
        for callback in waiting:
            _tell(callback, run, None, step)
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(run.run_dir)) as writer:
        for callback in waiting:
            _tell(callback, run, writer, step)


def _tell(callback: AfterTest, run: TrainedRun, writer: SummaryWriter | None, step: int) -> None:
    try:
        callback.after_test(run, writer, step)
    except Exception as error:
        print(f"nothing of {type(callback).__name__}: {first_line(error)}", flush=True)
