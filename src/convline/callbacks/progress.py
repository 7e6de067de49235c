"""Show a progress bar with loss, accuracy and images per second."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from convline.training.classifier import Classifier


class NotebookBar:
    """Draw the lines of finished epochs and a bar in one output of a notebook.

    rich would need ipywidgets for its bar, and makes an output of each line that it prints.

    Attributes:
        title: what the bar counts.
    """

    WIDTH = 30  # characters of the bar

    def __init__(self) -> None:
        from IPython.display import display

        self.title = ""
        self._lines: list[str] = []
        self._handle = display(self._data(""), raw=True, display_id=True)

    def draw(self, completed: int, total: int, metrics: str) -> None:
        """Redraw the output with the bar at `completed` of `total` batches."""
        filled = self.WIDTH * completed // max(1, total)
        bar = "━" * filled + "─" * (self.WIDTH - filled)
        self._handle.update(self._data(f"{self.title} {bar} {completed}/{total}  {metrics}"), raw=True)

    def add_line(self, line: str) -> None:
        """Redraw the output with one more line, and no bar."""
        self._lines.append(line)
        self.close()

    def close(self) -> None:
        """Redraw the output without a bar."""
        self._handle.update(self._data(""), raw=True)

    def _data(self, bar: str) -> dict[str, str]:
        return {"text/plain": "\n".join([*self._lines, *filter(None, [bar])])}


class Progress(ProgressBar):
    """Show a bar for the current epoch, and print a line for each finished one.

    The bar is drawn at most ten times a second and reads metrics that are computed anyway. In a notebook, bar and lines
    are one output, which is redrawn. If the output is neither a terminal nor a notebook, only the lines are printed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(highlight=False)
        self._bar: Bar | None = None
        self._notebook: NotebookBar | None = None
        self._enabled = True
        self._drawn = 0.0
        self._finished_epoch: int | None = None
        self._is_validated = True

    def disable(self) -> None:
        """Disable bar and lines; Lightning calls this on every rank except the first."""
        self._enabled = False

    def enable(self) -> None:
        """Enable bar and lines again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar if the output is a terminal."""
        if self._enabled and self._console.is_terminal:
            text = TextColumn("{task.description}")
            self._bar = Bar(
                text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[metrics]}"),
                console=self._console, auto_refresh=False, transient=True,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task("", metrics="")
        elif self._enabled and self._console.is_jupyter:
            self._notebook = NotebookBar()
        self._reset(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the previous epoch, and reset the bar."""
        self._print_line(trainer)
        self._reset(trainer)

    def _reset(self, trainer: Trainer) -> None:
        self._start, self._num_images = time.perf_counter(), 0
        loader: Any = trainer.train_dataloader
        title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        if self._notebook is not None:
            self._notebook.title = title
        if self._bar is not None:
            completed = loader.position if loader.position < loader.num_batches else 0
            self._bar.reset(self._task, total=loader.num_batches, completed=completed, description=title, metrics="")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the bar, at most ten times a second."""
        self._num_images += batch.num_images
        now = time.perf_counter()
        if (self._bar or self._notebook) and now - self._drawn > 0.1:
            assert isinstance(pl_module, Classifier)
            loader: Any = trainer.train_dataloader
            sums, rate = pl_module.train_sums, self._num_images / (now - self._start)
            metrics = f"loss {sums.loss:.4f}  acc {sums.accuracy:.4f}  {rate:,.0f} images/s"
            if self._notebook is not None:
                self._notebook.draw(loader.position, loader.num_batches, metrics)
            elif self._bar is not None:
                self._bar.update(self._task, completed=loader.position, metrics=metrics)
                self._bar.refresh()
            self._drawn = now

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the number of the epoch; its line is printed later, since its metrics are logged after this hook."""
        self._finished_epoch = trainer.current_epoch + 1
        self._is_validated = getattr(pl_module, "is_validated", True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the last epoch."""
        self._print_line(trainer)

    def _print_line(self, trainer: Trainer) -> None:
        epoch, self._finished_epoch = self._finished_epoch, None
        if epoch is None or not self._enabled:
            return
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
        line = f"epoch {epoch:>3}/{trainer.max_epochs}"
        line += f"  train loss {metrics['train/loss']:.4f} acc {metrics['train/acc']:.4f}"
        if "val/acc" in metrics and self._is_validated:
            line += f"  val loss {metrics['val/loss']:.4f} acc [bold]{metrics['val/acc']:.4f}[/bold]"
        if "images/s" in metrics:
            line += f"  {metrics['images/s']:,.0f} images/s"
        if self._notebook is not None:
            self._notebook.add_line(Text.from_markup(line).plain)
        else:
            self._console.print(line, soft_wrap=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the bar, also after an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._notebook is not None:
            self._notebook.close()
            self._notebook = None
