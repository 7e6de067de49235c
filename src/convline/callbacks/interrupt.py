"""Ends a run cleanly on Ctrl-C and SIGTERM: the state is saved between two executions, then the run stops."""

import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convline.callbacks.checkpoint import BestAndLast
from convline.errors import Interrupted


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
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the two signals from Lightning, which has just registered its own and would end with status 0."""
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._note)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.received is not None and signum == signal.SIGINT:
            raise Interrupted(signum, self.hint)
        self.received = signum

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop if a signal came, on whichever rank."""
        received = self.received is not None
        if trainer.world_size > 1:
            received = trainer.strategy.reduce_boolean_decision(received, all=False)
        if received and (self.checkpoint is None or self.checkpoint.save_within_epoch(trainer)):
            raise Interrupted(self.received or signal.SIGTERM, self.hint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A signal during the last validation: everything is saved, but the test is still to come."""
        if self.received is not None:
            raise Interrupted(self.received, self.hint)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}
