"""What a sweep's runs came to."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from convline import runs


def report_sweep(folder: Path) -> None:
    """Print a table of the jobs in a sweep's folder."""
    table = Table("status", "job", "val/acc", "error")
    for path in sorted(folder.glob("*/summary.json")):
        summary = runs.read_summary(path.parent)
        figure = summary.get("metrics", {}).get("val/acc")
        shown = "" if figure is None else f"{figure:.4f}"
        table.add_row(runs.status(path.parent), path.parent.name, shown, summary.get("error") or "")
    Console(highlight=False).print(table)
