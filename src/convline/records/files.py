"""Read the text files of a run directory, which may be damaged, or come from somebody else.

Every file is read here and nowhere else: only ordinary files are opened, so that a pipe in the place of one hangs no
command; their size, depth and texts have limits; and what JSON or YAML holds is checked against `schemas.py`.
"""

import csv
import io
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from convline.errors import UserError
from convline.formatting import first_line
from convline.records.schemas import complaints

MAX_BYTES = 64 * 2**20  # of a text file; that of a run with 10,000 epochs has some 2 MB
MAX_DEPTH = 40  # of mappings and lists within each other
SAFE_DEPTH = 500  # of YAML, for libyaml
MAX_VALUES = {".yaml": 100_000, ".json": 5_000_000}  # a reference within YAML multiplies what it refers to
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast

# What still works without a file, and what to do about it.
REMEDIES = {
    "config.yaml": "Weights and curves remain, but the network cannot be built: put a copy of the file back.",
    "summary.json": "Weights, curves and settings remain: put a copy of the file back.",
    "environment.json": "`convline report` shows the run all the same. Put a copy back; or, if the data are the same, "
    "remove the file.",
    "metrics.csv": "Move it away to go on without the curves so far; everything else of the run works.",
    "sweep.json": "The runs remain: `convline report` shows them. Put a copy back, or name another folder.",
    "importance.json": "Only one plot of the report needs it. Remove it.",
    "other_folders.json": "The runs in this folder remain. Repeat the search's command, which writes it again.",
}


class RunFileError(UserError):
    """Report a file of a run directory that is missing or damaged.

    Args:
        path: the file.
        problem: completes "summary.json …", such as "is missing".
        remedy: what still works, and what to do; by default that of `REMEDIES`.
    """

    def __init__(self, path: Path, problem: str, remedy: str = "") -> None:
        remedy = remedy or REMEDIES.get(path.name, "")
        super().__init__(f"{path} {problem}." + (f"\n  {remedy}" if remedy else ""))
        self.path, self.problem = path, problem

    @property
    def is_missing(self) -> bool:
        """Return whether the file is not there."""
        return self.problem == MISSING


MISSING = "is missing"


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a whole ordinary file.

    Args:
        path: the file.
        limit: the largest size in bytes.
    Raises:
        RunFileError: it is missing, larger, or a folder, a pipe or a device.
    """
    check_ordinary(path, limit)
    try:
        # O_NONBLOCK: should a pipe have taken the place of the file since the check, opening it waits for nobody
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read(limit + 1)[:limit]
    except OSError as error:
        raise RunFileError(path, f"cannot be read: {error.strerror}") from error


def check_ordinary(path: Path, limit: int | None = None) -> None:
    """Check that a path is that of an ordinary file.

    Raises:
        RunFileError: it is missing, larger than `limit` bytes, or a folder, a pipe or a device.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunFileError(path, MISSING) from error
    except OSError as error:  # a link to itself, a path that is too long, a folder that may not be entered
        raise RunFileError(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a path with a NUL
        raise RunFileError(Path(str(path).replace("\0", "\\0")), f"cannot be read: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise RunFileError(path, f"cannot be read: it is {kind} instead of a file")
    if limit is not None and status.st_size > limit:
        raise RunFileError(path, f"cannot be read: it has {status.st_size:,} bytes, and at most {limit:,} are expected")


def read_text(path: Path) -> str:
    """Read a text file in UTF-8.

    Raises:
        RunFileError: it is missing or no text.
    """
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RunFileError(path, f"cannot be read: byte {error.start + 1:,} is not UTF-8") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a JSON or YAML file that holds a mapping, and check the limits of its content; see `read_record` too.

    Raises:
        RunFileError: it is missing or damaged, or holds something else.
    """
    text = read_text(path)
    if not text.strip():
        raise RunFileError(path, "cannot be read: it is empty")
    try:
        content = _from_yaml(text) if path.suffix == ".yaml" else json.loads(text)
    except RecursionError as error:
        raise RunFileError(path, "cannot be read: it is nested too deeply") from error
    except (ValueError, OverflowError, yaml.YAMLError) as error:  # a number of 5,000 digits is a ValueError too
        raise RunFileError(path, f"cannot be read: {_on_one_line(error)}") from error
    if not isinstance(content, dict):
        raise RunFileError(path, f"cannot be read: it holds {_kind(content)} instead of a mapping")
    if problem := _beyond_limits(content, MAX_VALUES.get(path.suffix, 100)):
        raise RunFileError(path, f"cannot be read: {problem}")
    return content


def read_record(path: Path) -> dict[str, Any]:
    """Read a JSON or YAML file of a run or a sweep, and check its values by the schema of its name.

    Raises:
        RunFileError: it is missing or damaged, or a value is of another type than expected.
    """
    content = read_mapping(path)
    if problem := next(complaints(content, path.name), ""):
        raise RunFileError(path, f"cannot be read: {problem}")
    return content


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file by the names of its columns; short rows lack the last of them.

    Raises:
        RunFileError: it is missing or no CSV.
    """
    text = read_text(path)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise RunFileError(path, f"cannot be read: {_on_one_line(error)}") from error
    return [{key: value for key, value in row.items() if key is not None and value is not None} for row in rows]


def _from_yaml(text: str) -> Any:
    """Read YAML, but none that is nested so deeply that libyaml overflows the stack, which ends the interpreter."""
    # A level takes a bracket, or an indicator further to the right than that of the level above it.
    bound = text.count("[") + text.count("{") + max(map(len, re.findall(r"^[-?: ]+", text, re.MULTILINE)), default=0)
    if bound > SAFE_DEPTH:
        depth = 0
        for event in yaml.parse(text, _Loader):  # by events, which do not nest
            starts, ends = yaml.CollectionStartEvent, yaml.CollectionEndEvent
            depth += isinstance(event, starts) - isinstance(event, ends)
            if depth > SAFE_DEPTH:
                raise RecursionError
    return yaml.load(text, _Loader)


def _beyond_limits(content: Any, max_values: int) -> str:
    """Return what of a content is deeper, larger or no text, as no file of ours is; an empty text if nothing is."""
    todo, num_values = [(content, 1)], 0
    while todo:
        value, depth = todo.pop()
        num_values += 1
        if num_values > max_values:
            return f"it holds more than {max_values:,} values"
        if isinstance(value, str):
            if "\0" in value or not (value.isascii() or _is_unicode(value)):
                return f"{value[:20]!r} is no text"
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                return f"it is nested more than {MAX_DEPTH} deep"
            todo += [(child, depth + 1) for child in (value.values() if isinstance(value, dict) else value)]
            if isinstance(value, dict):
                todo += [(key, depth + 1) for key in value]
        elif isinstance(value, int) and abs(value) >= 2**63:
            return "a whole number needs more than 64 bits"
        elif not isinstance(value, int | float | None):  # YAML knows dates, bytes and sets
            return f"it holds a {type(value).__name__}"
    return ""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", type(None): "nothing", bool: "a truth value"}
    return names.get(type(value), "a number")


def _on_one_line(error: BaseException) -> str:
    """Return an error's text without the lines that YAML shows, and without control characters."""
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}" if mark is not None else ""
    text = str(getattr(error, "problem", None) or first_line(error))
    return "".join(char if char.isprintable() else " " for char in text)[:200] + where
