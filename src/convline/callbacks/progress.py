"""The progress bar: loss, accuracy and images a second."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from convline.training.classifier import Classifier


class Progress(ProgressBar):
    """One moving line for the epoch that runs, one line that stays for each that is done.

    The bar is drawn ten times a second at most and reads sums that are computed anyway; where the output is not a
    terminal, only the lines that stay are written.
    """

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(highlight=False)
        self._bar: Bar | None = None
        self._enabled = True
        self._drawn = 0.0
        self._finished_epoch: int | None = None

    def disable(self) -> None:
        """Called by Lightning on every rank but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Undo `disable`."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        if self._enabled and self._console.is_terminal:
            text = TextColumn("{task.description}")
            self._bar = Bar(
                text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[figures]}"),
                console=self._console, auto_refresh=False, transient=True,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task("", figures="")
        self._begin(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the line of the epoch before, and begin one."""
        self._write_line(trainer)
        self._begin(trainer)

    def _begin(self, trainer: Trainer) -> None:
        self._start, self._images, self._steps = time.perf_counter(), 0, 0
        if self._bar is not None:
            loader: Any = trainer.train_dataloader
            done = loader.position if loader.position < loader.num_batches else 0
            title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._bar.reset(self._task, total=loader.num_batches, completed=done, description=title, figures="")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar."""
        self._images += batch.num_images * trainer.world_size
        now = time.perf_counter()
        if self._bar is not None and now - self._drawn > 0.1:
            assert isinstance(pl_module, Classifier)
            loader: Any = trainer.train_dataloader
            sums, rate = pl_module.train_sums, self._images / (now - self._start)
            figures = f"loss {sums.loss:.4f}  acc {sums.accuracy:.4f}  {rate:,.0f} images/s"
            self._bar.update(self._task, completed=loader.position, figures=figures)
            self._bar.refresh()
            self._drawn = now

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The figures of the epoch are logged after this hook; `_write_line` follows as soon as they are there."""
        self._finished_epoch = trainer.current_epoch + 1

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last line that stays."""
        self._write_line(trainer)

    def _write_line(self, trainer: Trainer) -> None:
        epoch, self._finished_epoch = self._finished_epoch, None
        if epoch is None or not self._enabled:
            return
        value = {key: float(v) for key, v in trainer.callback_metrics.items()}
        line = f"epoch {epoch:>3}/{trainer.max_epochs}"
        line += f"  train loss {value['train/loss']:.4f} acc {value['train/acc']:.4f}"
        if "val/acc" in value:
            line += f"  val loss {value['val/loss']:.4f} acc [bold]{value['val/acc']:.4f}[/bold]"
        if "images/s" in value:
            line += f"  {value['images/s']:,.0f} images/s"
        self._console.print(line, soft_wrap=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the bar, also after an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
