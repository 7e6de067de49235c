"""Read run directories as records. A record of a damaged directory holds the readable values and names the problems."""

import math
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from convline.config.metrics import declare
from convline.errors import UserError
from convline.formatting import flattened, train_command, visible
from convline.records import test_log
from convline.records.directory import FILES, OTHER_FOLDERS, data_name
from convline.records.files import RunFileError, read_mapping, read_rows
from convline.records.lock import is_held
from convline.records.moved_targets import with_current_targets
from convline.records.schemas import STATUSES, complaints

SKIPPED = ("checkpoints", "predictions")
FINISHED, INCOMPLETE = "finished", "incomplete"


@dataclass(frozen=True)
class RunRecord:
    """Hold the values of one run directory that a report uses.

    Args:
        folder: run directory.
        status: status in summary.json; "incomplete" if files are missing or damaged.
        error: first line of the run's error, or the problems of its files; empty if there are none.
        data: name of the data set.
        fingerprint: fingerprint of the data and their split; empty if not known.
        code: version of the code; empty if not known.
        choices: chosen option of each config group.
        settings: flat config: `{"optimizer.lr": 0.1, "seed": 0, …}`.
        metrics: final metrics, such as `{"val/acc": 0.9}`; finite numbers only.
        num_images: number of images of val and test, of which the accuracies are shares; {} if not known.
        seconds: duration of training and test; nan if not known.
        parameters, macs: size of the network; nan if not known.
        started: time of the start in ISO 8601; empty if not known.
        confirms: whether it was trained to confirm a comparison, with a seed that chose nothing.
        host: name of the machine that trained a run whose directory is not in the folders of the report; else empty.
    """

    folder: Path
    status: str
    error: str = ""
    data: str = ""
    fingerprint: str = ""
    code: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    num_images: Mapping[str, int] = field(default_factory=dict)
    seconds: float = math.nan
    parameters: float = math.nan
    macs: float = math.nan
    started: str = ""
    confirms: bool = False
    host: str = ""

    @property
    def path_text(self) -> str:
        """Return the run directory as a text that can be shown, whatever bytes its name has."""
        return visible(str(self.folder))

    @property
    def is_finished(self) -> bool:
        """Return whether the run is finished, so that its metrics count."""
        return self.status == FINISHED

    @property
    def seed(self) -> Any:
        """Return the seed; None if it is not known."""
        return self.settings.get("seed")

    @property
    def monitor(self) -> str:
        """Return the validation metric that chose the checkpoint; "val/acc" if a training metric chose it."""
        monitor = str(self.settings.get("callbacks.checkpoint.monitor", ""))
        return monitor if monitor.startswith("val/") else "val/acc"

    @property
    def runs_dir(self) -> Path:
        """Return the folder of all runs, which holds the test evaluation log."""
        return test_log.folder(self.folder, str(self.settings.get("runs_dir", "runs")))

    @cached_property
    def epochs(self) -> list[dict[str, float]]:
        """Read the rows of metrics.csv on first use; rows without an epoch are left out."""
        return list(_epochs(self.folder / "metrics.csv"))


def find_runs(folders: Iterable[Path]) -> list[RunRecord]:
    """Read all runs in folders and their subfolders, each once, sorted by path.

    Raises:
        UserError: a folder does not exist, or none holds a run.
    """
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            problem = "is a file" if folder.exists() else "is not there"
            if re.match(r"[a-z0-9+]+:/", str(folder)):  # of the two slashes, a path keeps one
                raise UserError(f"{folder} is a URL. Copy the runs into a folder first, then: convline report FOLDER")
            raise UserError(f"{folder} {problem}; type a folder of runs, a sweep's or a run's: convline report runs")
    files = {path.resolve(): path for folder in folders for path in _files_of_runs(folder)}
    others = {path: file for path, file in files.items() if path.name == OTHER_FOLDERS}
    paths = {path: run_dir for path, run_dir in files.items() if path not in others}
    runs = [read_run(path) for path in sorted(paths.values())]
    runs += _runs_of_other_folders(sorted(others), list(paths))
    if not runs:
        raise UserError(
            f"there is no run in {', '.join(map(str, folders))}.\n"
            f"  Runs are made by {train_command()}, in the folder runs unless runs_dir says otherwise;\n"
            "  to report on another folder, type: convline report FOLDER"
        )
    return runs


def _runs_of_other_folders(files: Sequence[Path], paths: Sequence[Path]) -> list[RunRecord]:
    """Read the trials of searches that were trained in other folders, from what the studies hold of them.

    Args:
        files: what the studies hold, in the folder of each search.
        paths: run directories of the report; a trial that is among them is left out.
    """
    if not files:
        return []
    searches: dict[Path, str] = {}  # the search of each folder: two folders of one report may share a study
    for folder in {path.parent for path in (*paths, *files)}:
        searches[folder] = str(_mapping(folder / "sweep.json", []).get("search", ""))
    known = {(searches[path.parent], path.name) for path in paths}
    runs = []
    for file in files:
        for entry in map(_dict, _mapping(file, []).get("trials", [])):
            if "directory" not in entry:
                continue
            directory = Path(str(entry["directory"]))
            key = (searches[file.parent], directory.name)
            if key not in known:
                known.add(key)
                host = printable([str(entry.get("host") or "another machine")])
                config, summary, environment = (_dict(entry.get(key)) for key in ("config", "summary", "environment"))
                runs.append(_record(Path(f"{host}:{directory}"), config, summary, environment, [], host))
    return runs


def _files_of_runs(folder: Path) -> Iterator[Path]:
    """Yield the run directories in a folder, and the files of trials that lie in other folders."""
    for path, folders, files in os.walk(folder):
        if any(name in files for name in FILES) or "checkpoints" in folders:
            yield Path(path)
        if OTHER_FOLDERS in files:
            yield Path(path) / OTHER_FOLDERS
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith(".")]


def read_run(folder: Path) -> RunRecord:
    """Read one run directory. Damaged and missing files are problems in the record, never an exception."""
    problems: list[str] = []
    config, summary = _mapping(folder / "config.yaml", problems), _mapping(folder / "summary.json", problems)
    environment = _mapping(folder / "environment.json", [])  # written late: a run that failed early has none
    return _record(folder, config, summary, environment, problems)


def _record(
    folder: Path,
    config: dict[str, Any],
    summary: dict[str, Any],
    environment: dict[str, Any],
    problems: list[str],
    host: str = "",
) -> RunRecord:
    """Make the record of a run from the contents of its files and the problems of reading them."""
    config = with_current_targets(config)
    with suppress(UserError, TypeError):  # for the directions of the user's own metrics
        declare(config.get("metrics") or ())
    status, metrics = summary.get("status"), _numbers(summary.get("metrics"))
    status = status if status in STATUSES else INCOMPLETE
    if status == FINISHED and not metrics:
        problems.append("summary.json holds no metrics")
    if status == "running" and not host and not is_held(folder):
        status = "interrupted"  # its process was killed before it could record this
    if status == FINISHED and problems:
        status = INCOMPLETE
    error = printable(str(summary.get("error") or "").strip().splitlines()[:1])
    choices = {str(k): visible(str(v)) for k, v in _dict(summary.get("choices")).items()}
    return RunRecord(
        folder=folder,
        status=status,
        error=error or "; ".join(problems),
        data=visible(data_name(choices, config)),
        fingerprint=str(environment.get("data_fingerprint") or ""),
        code=_code(_dict(environment.get("code"))),
        choices=choices,
        settings={visible(key): value for key, value in flattened(config)},
        metrics=metrics,
        num_images={split: int(count) for split, count in _numbers(summary.get("num_images")).items() if count >= 1},
        seconds=_number(summary.get("seconds")),
        parameters=_number(summary.get("parameters")),
        macs=_number(summary.get("macs")),
        started=str(summary.get("started") or ""),
        confirms=summary.get("confirms") is True,
        host=host,
    )


def printable(lines: list[str]) -> str:
    """Join lines, and write characters that would move the cursor of a terminal as their codes."""
    return visible(" ".join(" ".join(lines).split()))


def seconds_since_written(run: RunRecord) -> float:
    """Compute the seconds since a file of a run directory was last written; nan if the directory cannot be read."""
    try:
        files = [run.folder, *run.folder.iterdir(), *(run.folder / "checkpoints").glob("*")]
        return time.time() - max(file.stat().st_mtime for file in files)
    except OSError:
        return math.nan


def _mapping(path: Path, problems: list[str]) -> dict[str, Any]:
    """Read a JSON or YAML file that holds a mapping; append problems to the list, and return what can be read."""
    try:
        content = read_mapping(path)
    except RunFileError as error:
        problems.append(f"{path.name} {error.problem}")
        return {}
    # values of another type than expected are left out below
    problems += [f"{path.name}: {complaint}" for complaint in complaints(content, path.name)]
    return content


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= sys.float_info.max else math.nan


def _numbers(value: Any) -> dict[str, float]:
    numbers = {visible(str(key)): _number(number) for key, number in _dict(value).items()}
    return {key: number for key, number in numbers.items() if not math.isnan(number)}


def _code(code: dict[Any, Any]) -> str:
    """Name the version of the code: `0.1.0`, `7fcd378` or, with uncommitted changes, `7fcd378+9a3b`."""
    version = str(code.get("tree") or code.get("commit") or "")[:7] or str(code.get("version") or "")
    return f"{version}+{str(code['changes'])[:4]}" if code.get("changes") else version


def _epochs(path: Path) -> Iterator[dict[str, float]]:
    try:
        rows = read_rows(path)
    except RunFileError:
        return
    for row in rows:
        values = {}
        for key, text in row.items():
            with suppress(ValueError):
                values[key] = float(text)
        if "epoch" in values:
            yield values
