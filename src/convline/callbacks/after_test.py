"""Call callbacks once more after the test of the best network; a failure of theirs does not fail the run."""

from __future__ import annotations

import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from convline.errors import UserError
from convline.formatting import first_line
from convline.records.checkpoints import load_checkpoint
from convline.records.directory import read_config
from convline.training.loaded_run import LoadedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class AfterTest(Callback, ABC):
    """Show something of the finished run, whose training and test are over."""

    @abstractmethod
    def after_test(self, run: LoadedRun, writer: SummaryWriter | None, step: int) -> None:
        """Act on the finished run; called once, in one process.

        Args:
            run: holds the network that was tested, and its predictions.
            writer: of the event file; None where TensorBoard is off.
            step: optimizer steps of the run.
        """


def run_after_test(trainer: Trainer, run: LoadedRun) -> None:
    """Call the trainer's callbacks of this kind, whose loggers have closed their files by now.

    A callback that fails, or an event file that cannot be opened, is reported: the run is finished already.
    """
    waiting = [callback for callback in trainer.callbacks if isinstance(callback, AfterTest)]  # type: ignore[attr-defined]
    if not waiting:
        return
    last = run.run_dir / "checkpoints" / "last.ckpt"  # the trainer has no step if ranks or an earlier process trained
    with _failures_reported("the event file", run.run_dir), ExitStack() as files:
        step = trainer.global_step or (load_checkpoint(last)["global_step"] if last.is_file() else 0)
        writer = None
        if any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers):
            from torch.utils.tensorboard import SummaryWriter

            writer = files.enter_context(SummaryWriter(str(run.run_dir)))
        for callback in waiting:
            with _failures_reported(type(callback).__name__, run.run_dir):
                callback.after_test(run, writer, step)


def report_failure(message: str, error: Exception, run_dir: Path) -> None:
    """Print a line that names an error, and its traceback where it is wanted.

    The traceback goes into the log of a job of a sweep, and with debug=true to stderr.

    Args:
        message: what is missing now.
        error: the reason.
        run_dir: the run's directory.
    """
    print(f"{message}: {first_line(error)}", flush=True)
    text = "".join(traceback.format_exception(error))
    log, config = run_dir / "log.txt", run_dir / "config.yaml"
    if config.is_file() and read_config(run_dir).get("debug"):
        print(text, file=sys.stderr, flush=True)
    elif log.is_file():
        with open(log, "a") as file:
            file.write(text)
        print(f"  The traceback is in {log}.", flush=True)
    elif not isinstance(error, UserError):
        print("  Type debug=true to see the traceback.", flush=True)


@contextmanager
def _failures_reported(name: str, run_dir: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        report_failure(f"nothing of {name}", error, run_dir)
