"""Stop a run on Ctrl-C or a signal of a scheduler: save its state between two executions, raise `Interrupted`."""

import signal
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convline.callbacks.checkpoint import BestAndLast
from convline.errors import STOP_SIGNALS, Interrupted
from convline.signals import interrupt, set_handlers


class StopOnSignal(Callback):
    """Save a checkpoint and raise `Interrupted` after the first signal; raise it at once on a second Ctrl-C.

    The end of an epoch is not interrupted: its validation and checkpoint are finished first.

    Args:
        checkpoint: the callback that saves; None: nothing is saved.
        hint: the command that continues the run.
    """

    def __init__(self, checkpoint: BestAndLast | None, hint: str) -> None:
        self.checkpoint, self.hint = checkpoint, hint
        self.received: int | None = None
        # the handlers before Lightning registers its own, which would end the program with status 0
        self._previous = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the signal handlers that Lightning has just registered."""
        set_handlers(dict.fromkeys(STOP_SIGNALS, self._record_signal))

    def _record_signal(self, signum: int, frame: FrameType | None) -> None:
        # The handler saves nothing: Python runs it between any two bytecodes, where a checkpoint would be inconsistent.
        if self.received is not None and signum == signal.SIGINT:
            interrupt(signum, self.hint, frame)
        self.received = signum

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and raise `Interrupted` if a signal was received."""
        if self._has_received(trainer) and (self.checkpoint is None or self.checkpoint.save_within_epoch(trainer)):
            raise Interrupted(self.received or signal.SIGTERM, self.hint)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise `Interrupted` if a signal was received at the end of the previous epoch, which is saved."""
        if self._has_received(trainer):
            raise Interrupted(self.received or signal.SIGTERM, self.hint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise `Interrupted` before the test if a signal was received in the last epoch, which is saved."""
        if self.received is not None:
            raise Interrupted(self.received, self.hint)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the signal handlers from before the run."""
        set_handlers(self._previous)

    def _has_received(self, trainer: Trainer) -> bool:
        """Return whether any rank received a signal; all must stop at the same step, or some would wait forever."""
        received = self.received is not None
        return trainer.strategy.reduce_boolean_decision(received, all=False) if trainer.world_size > 1 else received
