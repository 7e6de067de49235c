"""Draw figures of the network at the end of a run, and at the end of some epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import LightningModule, Trainer

from convline import figures
from convline.callbacks.after_test import AfterTest
from convline.callbacks.failures import failures_reported
from convline.callbacks.tensorboard import add_picture, chosen_epochs, event_writer
from convline.data.datamodule import datamodule_of
from convline.errors import UserError
from convline.figures.canvas import png
from convline.training.classifier import Classifier
from convline.training.loaded_run import LoadedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Pictures(AfterTest):
    """Write figures as `pictures/NAME.png`, and into TensorBoard's Images tab.

    A figure that cannot be drawn does not fail the run: `failures_reported` prints why it is missing.

    Args:
        at_end: names of figures in `convline.figures.BY_NAME` that are drawn after the test of the best network.
        at_epochs: names of figures without predictions that are drawn of the current network, for TensorBoard only.
        times: number of epochs for `at_epochs`, evenly spaced, with the first and the last.
    Raises:
        UserError: a figure does not exist, or cannot be drawn at the end of an epoch.
    """

    def __init__(self, at_end: Sequence[str], at_epochs: Sequence[str], times: int) -> None:
        # canonical_name also reports a misspelled name before the training
        self.at_end = [figures.canonical_name(name) for name in at_end]
        self.at_epochs = [figures.canonical_name(name) for name in at_epochs]
        self.times = times
        if not_at_epochs := [name for name in self.at_epochs if name in figures.NEED_PREDICTIONS]:
            available = ", ".join(name for name in figures.BY_NAME if name not in figures.NEED_PREDICTIONS)
            raise UserError(
                f"callbacks.pictures.at_epochs names {', '.join(not_at_epochs)}, drawn of the predictions at the run's "
                f"end: put it into at_end.\n  At epochs there are: {available}"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the epochs at whose end figures are drawn."""
        self._epochs = chosen_epochs(trainer.max_epochs or 1, self.times) if self.at_epochs else set()
        self._drawn_step: int | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the current network if this is one of the chosen epochs."""
        if trainer.current_epoch + 1 in self._epochs:
            self._draw_epoch(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the last epoch if early stopping made it the last."""
        if self._drawn_step != trainer.global_step:
            self._draw_epoch(trainer, pl_module)

    def _draw_epoch(self, trainer: Trainer, pl_module: LightningModule) -> None:
        writer = event_writer(trainer)
        if writer is None:
            return
        self._drawn_step = trainer.global_step
        assert isinstance(pl_module, Classifier)
        run = LoadedRun(Path(trainer.default_root_dir), None, datamodule_of(trainer), pl_module.evaluated_network)
        for name in self.at_epochs:
            with failures_reported(f"drawing {name}", run):
                add_picture(writer, f"by epoch/{name}", png(figures.BY_NAME[name](run)), trainer.global_step)

    def after_test(self, run: LoadedRun, writer: SummaryWriter | None, step: int) -> None:
        """Draw figures of the network that was tested, and write them."""
        folder = run.run_dir / "pictures"
        folder.mkdir(exist_ok=True)
        left_out = [name for name in self.at_end if name in figures.ONE_LABEL and run.data.is_multilabel]
        if left_out:
            print(f"not drawn of images with several labels: {', '.join(left_out)}", flush=True)
        for name in [name for name in self.at_end if name not in left_out]:
            with failures_reported(f"drawing {name}", run):
                content = png(figures.BY_NAME[name](run))
                (folder / f"{name}.png").write_bytes(content)
                if writer is not None:
                    add_picture(writer, f"pictures/{name}", content, step)
