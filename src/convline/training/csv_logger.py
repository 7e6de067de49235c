"""Log metrics to metrics.csv, one line an epoch; a resumed run continues the file."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from convline.records.files import RunFileError, read_rows
from convline.storage import replacing


class MetricsCsv(Logger):
    """Write the metrics of each epoch to a CSV file (a Lightning logger).

    Lightning's own CSVLogger deletes an existing file, so that a resumed run would lose its first epochs. Here the key
    of a line is the optimizer step: an epoch that is repeated after a crash overwrites its line.

    Args:
        save_dir: folder of the file; an existing file is read.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self._path = Path(save_dir) / "metrics.csv"
        self._rows: dict[int, dict[str, Any]] = {}
        try:
            self._rows = {int(row["step"]): {**row} for row in read_rows(self._path)}
        except RunFileError as error:
            if not error.is_missing:
                raise
        except (KeyError, ValueError) as error:
            raise RunFileError(self._path, "is damaged: a line has no optimizer step") from error

    @property
    def name(self) -> str:
        """Return the file's name without its suffix."""
        return self._path.stem

    @property
    def version(self) -> str:
        """Return "": a run directory holds a single version of the file."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add metrics to the line of their epoch; ignore metrics of single steps, which only TensorBoard shows."""
        if "epoch" in metrics and step is not None:
            row = self._rows.setdefault(step, {"step": step})
            row.update(metrics)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml holds the hyperparameters."""

    @rank_zero_only
    def save(self) -> None:
        """Write all lines to a temporary file, then rename it to metrics.csv, so that no reader sees a partial file."""
        columns = ["epoch", "step"]
        for row in self._rows.values():
            columns += [key for key in row if key not in columns]
        with replacing(self._path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._rows[step] for step in sorted(self._rows))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Save the file when the run ends, unless it would be empty."""
        if self._rows:
            self.save()
