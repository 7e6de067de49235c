"""Small sweeps, and what they have left."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from convline.records.directory import read_status
from support.commands import SMALL, Done

TINY = [*SMALL, "trainer.max_epochs=1", "trainer.limit_train_batches=4", "~callbacks.throughput", "logger=csv"]


def job_dirs(folder: Path) -> list[Path]:
    """The directories of the one sweep's jobs, in order."""
    (path,) = (folder / "runs").glob("*/sweep.json")
    return [path.parent / job["directory"] for job in json.loads(path.read_text())["jobs"]]


def states(folder: Path) -> list[str]:
    return [read_status(path) for path in job_dirs(folder)]


def trained(done: Done) -> list[str]:
    """The jobs that a command did, as their titles name them."""
    return re.findall(r"^── job \d+ of \d+: (.*)$", done.out, flags=re.MULTILINE)


class NoExecutor:
    """Stands for the executor where every job is another process's."""

    def run_jobs(self, directories: Sequence[Path]) -> None:
        raise AssertionError(f"asked to run {directories}")

    def run_trials(self, trials: object) -> None:
        raise AssertionError
