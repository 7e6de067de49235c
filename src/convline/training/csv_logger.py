"""metrics.csv: one line an epoch, kept across a resume."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from convline.errors import UserError
from convline.storage import replacing


class MetricsCsv(Logger):
    """A Lightning logger that writes the epochs' metrics as a table.

    Lightning's own CSVLogger begins by deleting the file that it finds, so that a resumed run would lose its past. Here
    lines are keyed by the optimizer step: an epoch that is done again after a crash overwrites its line.

    Args:
        save_dir: folder of the file, which is read if it is there.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self._path = Path(save_dir) / "metrics.csv"
        self._rows: dict[int, dict[str, Any]] = {}
        if self._path.is_file():
            try:
                with open(self._path, newline="") as file:
                    self._rows = {int(row["step"]): row for row in csv.DictReader(file)}
            except (KeyError, TypeError, ValueError, csv.Error) as error:
                raise UserError(f"{self._path} is damaged; move it away to go on without the curves so far") from error

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self._path.stem

    @property
    def version(self) -> str:
        """A run directory holds one such file."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add an epoch's metrics to its line; curves within an epoch are TensorBoard's alone."""
        if "epoch" in metrics and step is not None:
            row = self._rows.setdefault(step, {"step": step})
            row.update(metrics)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """They are in config.yaml."""

    @rank_zero_only
    def save(self) -> None:
        """Write the whole table; a reader never sees half of it."""
        columns = ["epoch", "step"]
        for row in self._rows.values():
            columns += [key for key in row if key not in columns]
        with replacing(self._path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._rows[step] for step in sorted(self._rows))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is there."""
        if self._rows:
            self.save()
