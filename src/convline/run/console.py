"""What one run says on the terminal: a few lines before, a panel after."""

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table as Grid
from rich.text import Text

from convline.data.datamodule import DataModule
from convline.formatting import shape_text
from convline.network.summary import NetworkSummary, short_text

_console = Console(highlight=False, soft_wrap=True)


def print_notice(text: str) -> None:
    """A line that a user should see, without colour or wrapping."""
    _console.print(text, markup=False)


def print_header(run_dir: Path, data: DataModule, table: NetworkSummary, about_loader: str) -> None:
    """What is trained on what, and where it is written; `about_loader`: how the images get there."""
    shape = shape_text(data.input_shape)
    print_notice(
        f"{len(data.train_indices):,} training and {len(data.val_indices):,} validation images {shape}, "
        f"{data.num_classes} classes"
    )
    if data.input_shape != data.stored_shape:
        print_notice(f"stored as {shape_text(data.stored_shape)}, fitted batch by batch")
    for line in filter(None, [about_loader, *data.notices]):
        print_notice(line)
    print_notice(short_text(table))
    print_notice(f"writing to {run_dir}")


def print_outcome(run_dir: Path, summary: dict[str, Any]) -> None:
    """Test accuracy, where the run lies, and how to look at it."""
    metrics = summary["metrics"]
    grid = Grid.grid(padding=(0, 2))
    grid.add_row("test accuracy", Text(f"{metrics['test/acc']:.2%}", style="bold"))
    if "test/acc_tta" in metrics:
        grid.add_row("... averaged over views", f"{metrics['test/acc_tta']:.2%}")
    of_epoch = f" (best epoch: {summary['best_epoch']})" if summary["best_epoch"] else ""
    grid.add_row("validation accuracy", f"{metrics['val/acc']:.2%}{of_epoch}")
    grid.add_row("time", f"{summary['seconds']:.1f} s")
    grid.add_row("run directory", Text(str(run_dir), overflow="fold"))
    grid.add_row("dashboards", Text(f"convline dashboard {shlex.quote(str(run_dir.parent))}", overflow="fold"))
    Console(highlight=False).print(Panel(grid, title="finished", expand=False))
