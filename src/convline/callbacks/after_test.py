"""Callbacks that act once more when the best network has been tested; what they show is not worth a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from convline.formatting import first_line
from convline.records.directory import load_checkpoint
from convline.training.loaded_run import LoadedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class AfterTest(Callback, ABC):
    """A callback that looks at the finished run; training and test are over and cannot be changed by it."""

    @abstractmethod
    def after_test(self, run: LoadedRun, writer: SummaryWriter | None, step: int) -> None:
        """Called once, on one process.

        Args:
            run: with the network that was tested, and its predictions.
            writer: of the event file; None where TensorBoard is off.
            step: optimizer steps that the run has taken.
        """


def run_after_test(trainer: Trainer, run: LoadedRun) -> None:
    """Call all of the trainer's callbacks that wait for this; its loggers have closed their files by now.

    One that fails, or an event file that cannot be opened, leaves a line that says why: the run is finished already.
    """
    waiting = [callback for callback in trainer.callbacks if isinstance(callback, AfterTest)]  # type: ignore[attr-defined]
    if not waiting:
        return
    last = run.run_dir / "checkpoints" / "last.ckpt"  # of ranks, or of an earlier process
    with _said("the event file"), ExitStack() as files:
        step = trainer.global_step or (load_checkpoint(last)["global_step"] if last.is_file() else 0)
        writer = None
        if any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers):
            from torch.utils.tensorboard import SummaryWriter

            writer = files.enter_context(SummaryWriter(str(run.run_dir)))
        for callback in waiting:
            with _said(type(callback).__name__):
                callback.after_test(run, writer, step)


@contextmanager
def _said(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        print(f"nothing of {name}: {first_line(error)}", flush=True)
