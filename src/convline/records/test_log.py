"""Log every test-set evaluation in `test_ledger.csv`, so that a reader sees how often a test set was used."""

import csv
import io
import os
import time
from pathlib import Path

from convline.errors import UserError
from convline.formatting import csv_text, first_line, visible
from convline.records.directory import data_name, read_config, read_summary
from convline.storage import exclusive_lock

NAME = "test_ledger.csv"
COLUMNS = ("time", "how", "run", "data", "fingerprint", "identity")


def folder(run_dir: Path, runs_dir: str) -> Path:
    """Return the folder that holds the test evaluation log of a run, also if `runs_dir` was moved.

    Args:
        run_dir: the run's directory; a sweep's jobs lie two levels below `runs_dir`.
        runs_dir: the setting, relative to where the run was started.
    Returns:
        `runs_dir` relative to the current folder if the run lies in it; else the nearest folder above the run of that
        name; else the nearest that holds a log; else the one that the run lies in.
    """
    above = list(Path(os.path.abspath(run_dir)).parents)
    from_here = Path(os.path.abspath(runs_dir))
    if from_here in above:
        return from_here
    name = tuple(part for part in Path(runs_dir).parts if part not in ("..", os.sep))
    named = [path for path in above if name and path.parts[-len(name) :] == name]
    return next(iter([*named, *(path for path in above if (path / NAME).is_file())]), above[0])


def record(run_dir: Path, how: str, fingerprint: str) -> None:
    """Add a line for one evaluation on the test set of a run's data. Several processes may do so at once.

    Args:
        run_dir: directory of the run whose network was evaluated; its config and summary are read.
        how: "train" for the test at the end of a training, "evaluate" for a later one.
        fingerprint: fingerprint of the data and their split.
    Raises:
        UserError: the log cannot be written; an evaluation that is not recorded is refused.
    """
    cfg, summary = read_config(run_dir), read_summary(run_dir)
    data = data_name(summary.get("choices", {}), cfg)
    path = folder(run_dir, cfg.runs_dir) / NAME
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    run = csv_text(visible(os.path.relpath(run_dir, path.parent)))
    _append(path, (now, how, run, data, fingerprint, summary.get("identity", "")))


def _append(path: Path, line: tuple[str, ...]) -> None:
    try:
        with exclusive_lock(path.with_name(f".{NAME}.lock")), open(path, "a", newline="", encoding="utf-8") as file:
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            if os.fstat(file.fileno()).st_size == 0:
                writer.writerow(COLUMNS)
            writer.writerow(line)
            file.write(text.getvalue())
            file.flush()  # before the lock is released
    except OSError as error:
        raise UserError(
            f"the test evaluation log {path} cannot be written: {error.strerror}.\n"
            "  Every evaluation on the test set is recorded there. Make the file writable."
        ) from error


def count(runs_dir: Path, data: str) -> int:
    """Count the test-set evaluations of a data set by the runs of a folder; 0 if it has no log.

    Raises:
        UserError: the log cannot be read.
    """
    try:
        with open(runs_dir / NAME, newline="", encoding="utf-8", errors="replace") as file:
            return sum(line.get("data") == data for line in csv.DictReader(file))
    except FileNotFoundError:
        return 0
    except (OSError, csv.Error) as error:
        raise UserError(f"the test evaluation log {runs_dir / NAME} cannot be read: {first_line(error)}") from error
