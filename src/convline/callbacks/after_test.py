"""Call the callbacks that need the tested network; an exception in one of them does not fail the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from convline.callbacks.failures import failures_reported
from convline.records.checkpoints import load_checkpoint
from convline.training.loaded_run import LoadedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class AfterTest(Callback, ABC):
    """Run code once training and test are over, with the tested network. Subclasses implement `after_test`."""

    @abstractmethod
    def after_test(self, run: LoadedRun, writer: SummaryWriter | None, step: int) -> None:
        """Write something about the finished run; called once, in one process.

        Args:
            run: holds the tested network and its predictions.
            writer: writes into the run's event file; None if TensorBoard is off.
            step: number of optimizer steps of the run.
        """


def run_after_test(trainer: Trainer, run: LoadedRun) -> None:
    """Call `after_test` of every `AfterTest` callback of the trainer, with a new event file.

    Lightning's loggers have closed their files by now. An exception in a callback, or in opening the event file, is
    reported and not raised: the run is finished already.
    """
    callbacks = [callback for callback in trainer.callbacks if isinstance(callback, AfterTest)]  # type: ignore[attr-defined]
    if not callbacks:
        return
    checkpoint = run.run_dir / "checkpoints" / "last.ckpt"
    with failures_reported("opening the event file", run), ExitStack() as files:
        # the trainer has no step if ranks or an earlier process trained
        step = trainer.global_step or (load_checkpoint(checkpoint)["global_step"] if checkpoint.is_file() else 0)
        writer = None
        if any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers):
            from torch.utils.tensorboard import SummaryWriter

            writer = files.enter_context(SummaryWriter(str(run.run_dir)))
        for callback in callbacks:
            with failures_reported(f"callback {type(callback).__name__}", run):
                callback.after_test(run, writer, step)
