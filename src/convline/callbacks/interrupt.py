"""Ends a run cleanly on Ctrl-C and SIGTERM: the state is saved between two executions, then the run stops."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convline.callbacks.checkpoint import BestAndLast
from convline.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(Callback):
    """On the first signal the run saves itself and raises `Interrupted`; a second Ctrl-C stops it where it is.

    An epoch's end is not cut: its validation and checkpoint are finished first.

    Args:
        checkpoint: what saves; None saves nothing.
        hint: what to type to go on.
    """

    def __init__(self, checkpoint: BestAndLast | None, hint: str) -> None:
        self.checkpoint, self.hint = checkpoint, hint
        self.received: int | None = None
        # not Lightning's own, which come later and would end the program with status 0
        self._previous = {signum: signal.getsignal(signum) for signum in SIGNALS}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the two signals from Lightning, which has just registered its own."""
        _set(dict.fromkeys(SIGNALS, self._note))

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.received is not None and signum == signal.SIGINT:
            raise Interrupted(signum, self.hint)
        self.received = signum

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop if a signal came."""
        if self._came(trainer) and (self.checkpoint is None or self.checkpoint.save_within_epoch(trainer)):
            raise Interrupted(self.received or signal.SIGTERM, self.hint)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if a signal came in the last execution or the validation of the epoch before, which is saved."""
        if self._came(trainer):
            raise Interrupted(self.received or signal.SIGTERM, self.hint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if a signal came in the last epoch: everything is saved, but the test is still to come."""
        if self.received is not None:
            raise Interrupted(self.received, self.hint)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        _set(self._previous)

    def _came(self, trainer: Trainer) -> bool:
        """On whichever rank."""
        received = self.received is not None
        return trainer.strategy.reduce_boolean_decision(received, all=False) if trainer.world_size > 1 else received


@contextmanager
def stoppable(hint: str) -> Iterator[None]:
    """Outside the training loop there is nothing to save: the two signals raise `Interrupted` where they come."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum, hint)

    previous = {signum: signal.getsignal(signum) for signum in SIGNALS}
    _set(dict.fromkeys(SIGNALS, stop))
    try:
        yield
    finally:
        _set(previous)


def _set(handlers: Mapping[Any, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
