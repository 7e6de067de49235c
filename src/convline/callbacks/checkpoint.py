"""Keep the best and the last checkpoint of a run."""

import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from convline.config.metrics import lower_is_better
from convline.errors import UserError


class CheckpointFile(TorchCheckpointIO):
    """Write a checkpoint to the very file that is named.

    Lightning's own plugin writes a temporary file in the system's folder and moves it, which copies it between disks,
    leaves it there if the process is killed, and fails where that folder is full or cannot be written.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write the checkpoint; through memory, because torch hides the system's error, such as a full disk."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with open(path, "wb") as file:
            file.write(content.getbuffer())


class BestAndLast(Checkpoint):
    """Write `last.ckpt` after every epoch, and copy it to `best.ckpt` when the monitored metric improves.

    Lightning's ModelCheckpoint would write the same state twice, store absolute paths that break when a run
    directory is moved, and forget the other metrics of the best epoch. A checkpoint is
    written to a temporary file and renamed, so that it is never incomplete. `best.ckpt` is a copy and no hard link, so
    that damage to one file leaves the other intact.

    Args:
        monitor: name of the metric that compares epochs; config/metrics.py says in which direction it gets better.
        every_n_steps: optimizer steps after which `last.ckpt` is also written within an epoch, at the end of an
            execution; None: only after epochs.
    """

    state_key = "BestAndLast"  # of its state in a checkpoint, where the test finds the best metrics

    def __init__(self, monitor: str, every_n_steps: int | None = None) -> None:
        self.monitor = monitor
        self.sign = -1 if lower_is_better(monitor) else 1
        self.every_n_steps = every_n_steps
        self.best_value: float | None = None
        self.best_epoch: int | None = None
        self.best_metrics: dict[str, float] = {}
        self._last_saved_step = 0
        self._stopped = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set the directory of checkpoints to `checkpoints` in the run directory."""
        self.directory = Path(trainer.default_root_dir) / "checkpoints"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count optimizer steps from the current one, which is the checkpoint's if the run is resumed."""
        self._last_saved_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write `last.ckpt` within the epoch if `every_n_steps` have passed."""
        if self.every_n_steps and trainer.global_step - self._last_saved_step >= self.every_n_steps:
            self.save_within_epoch(trainer)

    def save_within_epoch(self, trainer: Trainer) -> bool:
        """Write `last.ckpt` unless the epoch awaits its validation; return whether it was written."""
        if trainer.is_last_batch:
            return False
        self._save_last(trainer)
        return True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write `last.ckpt`, and copy it to `best.ckpt` if this epoch is better than all before it.

        As long as no epoch has been validated, the last one counts as the best.
        """
        # the Trainer keeps the metrics of an earlier validation
        is_stale = not getattr(pl_module, "is_validated", True)
        metrics = {
            key: float(value)
            for key, value in trainer.callback_metrics.items()
            if not (is_stale and key.startswith("val/"))
        }
        awaits_validation = is_stale and trainer.check_val_every_n_epoch != 1 and self.monitor.startswith("val/")
        if self.monitor not in metrics and not awaits_validation:
            raise UserError(
                f"callbacks.checkpoint.monitor={self.monitor} is not measured; there are: {', '.join(sorted(metrics))}"
            )
        value = metrics.get(self.monitor)
        is_best = value is not None and (self.best_value is None or self.sign * value > self.sign * self.best_value)
        if is_best:
            self.best_value, self.best_epoch, self.best_metrics = value, trainer.current_epoch + 1, metrics
        may_stop = trainer.current_epoch + 1 >= (trainer.min_epochs or 0) and trainer.global_step >= (
            trainer.min_steps or 0
        )
        self._stopped = trainer.should_stop and may_stop
        self._save_last(trainer, is_best or self.best_value is None)

    def _save_last(self, trainer: Trainer, is_best: bool = False) -> None:
        self._last_saved_step = trainer.global_step
        for logger in trainer.loggers:  # their metrics must be on the disk before the checkpoint
            logger.save()
        temporary = self.directory / ".last.tmp"
        trainer.save_checkpoint(temporary)
        if not trainer.is_global_zero:
            return
        if is_best:  # before last.ckpt: a run that is killed in between repeats the epoch, and copies it again
            copy = self.directory / ".best.tmp"
            shutil.copyfile(temporary, copy)
            os.replace(copy, self.directory / "best.ckpt")
        os.replace(temporary, self.directory / "last.ckpt")

    def state_dict(self) -> dict[str, Any]:
        """Return the best epoch so far, and whether early stopping ended training, which Lightning does not save."""
        return {
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
            "best_metrics": self.best_metrics,
            "stopped": self._stopped,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best epoch so far."""
        self.best_value, self.best_epoch = state_dict["best_value"], state_dict["best_epoch"]
        self.best_metrics = state_dict["best_metrics"]


def best_epoch_of(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return best epoch and metrics that `BestAndLast` has saved in a checkpoint.

    Raises:
        UserError: the checkpoint does not hold them.
    """
    callbacks = checkpoint.get("callbacks")
    state = callbacks.get(BestAndLast.state_key) if isinstance(callbacks, dict) else None
    metrics = state.get("best_metrics") if isinstance(state, dict) else None
    epoch = state.get("best_epoch") if isinstance(state, dict) else None
    is_number = isinstance(metrics, dict) and all(isinstance(value, int | float) for value in metrics.values())
    if state is None or not is_number or not isinstance(epoch, int | None):
        raise UserError(
            f"the checkpoint {path} does not hold the metrics of its epoch, so that the run cannot be recorded.\n"
            "  Put back the one that was there."
        )
    return dict(state)
