"""Print a run's messages on the terminal: a few lines before training, a panel of results after it."""

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from convline.config.metrics import is_share
from convline.data.datamodule import DataModule
from convline.formatting import shape_text
from convline.network.summary import NetworkSummary, short_text
from convline.reporting.metric_text import interval_over_images

_console = Console(highlight=False, soft_wrap=True)


def print_notice(text: str) -> None:
    """Print a line without color and without wrapping, so that a command in it can be copied."""
    _console.print(text, markup=False)


def print_header(run_dir: Path, data: DataModule, summary: NetworkSummary, loader_notice: str, num_ranks: int) -> None:
    """Print the data, the network and the run directory before training.

    Args:
        run_dir: the run directory.
        data: the data of the run, with its own notices.
        summary: the summary of the network.
        loader_notice: how the images are loaded, and why; an empty text prints nothing.
        num_ranks: number of ranks that divide each batch.
    """
    shape = shape_text(data.input_shape)
    print_notice(
        f"{len(data.train_indices):,} training and {len(data.val_indices):,} validation images {shape}, "
        f"{data.num_classes} classes"
    )
    if data.input_shape != data.stored_shape:
        print_notice(f"stored as {shape_text(data.stored_shape)}, fitted batch by batch")
    if num_ranks > 1:
        share, rest = divmod(data.batch_size, num_ranks)
        shares = f"{share} or {share + 1}" if rest else f"{share}"
        print_notice(f"{num_ranks} ranks, each with {shares} of the {data.batch_size} images of a batch")
    for notice in filter(None, [loader_notice, *data.notices]):
        print_notice(notice)
    print_notice(short_text(summary))
    print_notice(f"writing to {run_dir}")


def print_outcome(run_dir: Path, summary: dict[str, Any]) -> None:
    """Print a panel with the accuracies, the time, the run directory and the command that opens the dashboards.

    The interval of an accuracy is that over other images of the kind, not over other seeds.

    Args:
        run_dir: the run directory.
        summary: the content of its summary.json, with the metrics of a finished run.
    """
    metrics, num_images = summary.get("metrics", {}), summary.get("num_images", {})
    grid = Table.grid(padding=(0, 2))

    def add_accuracy(title: str, split: str, style: str = "") -> None:
        accuracy = metrics[f"{split}/acc"]
        text = Text.assemble((f"{accuracy:.2%}", style))
        if count := num_images.get(split):
            text.append(f" (95 % interval {interval_over_images(accuracy, count)})")
        grid.add_row(title, text)

    if "test/acc" in metrics:
        add_accuracy("test accuracy", "test", "bold")
    if "test/acc_tta" in metrics:
        grid.add_row("... averaged over views", f"{metrics['test/acc_tta']:.2%}")
    for key, value in metrics.items():
        name = key.removeprefix("test/")
        if key.startswith("test/") and name not in ("acc", "loss", "acc_tta", "loss_tta"):
            grid.add_row(f"test {name}", f"{value:.2%}" if is_share(key) else f"{value:.4f}")
    if "val/acc" in metrics:
        add_accuracy("validation accuracy", "val")
    if best_epoch := summary.get("best_epoch"):
        grid.add_row("best epoch", str(best_epoch))
    grid.add_row("time", f"{summary.get('seconds', 0):.1f} s")
    grid.add_row("run directory", Text(str(run_dir), overflow="fold"))
    grid.add_row("dashboards", Text(f"convline dashboard {shlex.quote(str(run_dir.parent))}", overflow="fold"))
    # a new console: the shared one does not wrap, and a panel must fit the width of the terminal
    Console(highlight=False).print(Panel(grid, title="finished", expand=False))
