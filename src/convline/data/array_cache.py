"""Keep arrays that are costly to make on disk between runs: each as one .npy file, mapped into memory when read.

An array belongs to a folder in the cache directory, to a version of its source files, and to the settings of its
conversion. It is written to a temporary file and renamed, by one process at a time; a .json file beside it, written
last, says that it is complete. Arrays of other versions are removed when a new one is made.
"""

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from convline.errors import UserError
from convline.storage import exclusive_lock

Note = dict[str, Any]


def cached_array(
    folder: Path,
    version: str,
    settings: str,
    max_shape: tuple[int, ...],
    make_rows: Callable[[], Iterable[np.ndarray]],
    make_note: Callable[[np.ndarray], Note],
) -> tuple[np.ndarray, Note]:
    """Return the uint8 array of a version and settings; make it if it is missing, damaged or cut short.

    Args:
        folder: for all versions and settings of one thing.
        version: of what the array is made from, as it would stand in a file name.
        settings: that it is made with, likewise.
        max_shape: its shape, if `make_rows` gives as many rows as it may.
        make_rows: gives the rows in order; they are written as they come.
        make_note: what else to keep, of the finished array; as JSON has it.
    Returns:
        The array, mapped into memory, where changes stay private to this process; and the note.
    Raises:
        UserError: the cache directory cannot be written.
    """
    path = folder / f"{version}-{settings}.npy"
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    cached = _open(path, max_shape)
    if cached is not None:
        return cached
    with _locked(folder):
        cached = _open(path, max_shape)  # another process may have made it in the meantime
        if cached is None:
            for leftover in folder.glob("*.tmp"):  # of a process that was killed
                leftover.unlink()
            _write(path, max_shape, make_rows, make_note)
            for old in folder.iterdir():
                if old.suffix in (".npy", ".json") and not old.name.startswith(f"{version}-"):
                    old.unlink()
            cached = _open(path, max_shape)
    assert cached is not None
    return cached


def _open(path: Path, max_shape: tuple[int, ...]) -> tuple[np.ndarray, Note] | None:
    """Open an array; None if anything differs from when it was written: a file that was touched is not trusted."""
    try:
        sidecar = json.loads(path.with_suffix(".json").read_text())
        status = path.stat()
        if [status.st_size, status.st_mtime_ns] != sidecar["file"]:
            return None
        array = np.lib.format.open_memmap(path, mode="c")
        if array.dtype == np.uint8 and array.shape[1:] == max_shape[1:]:
            return array, dict(sidecar["note"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _write(
    path: Path,
    max_shape: tuple[int, ...],
    make_rows: Callable[[], Iterable[np.ndarray]],
    make_note: Callable[[np.ndarray], Note],
) -> None:
    temporary, sidecar = path.with_suffix(".npy.tmp"), path.with_suffix(".json.tmp")
    try:
        with _writable(path.parent):
            num_rows, head = 0, _head(max_shape)
            with open(temporary, "wb") as file:
                file.write(head)
                for row in make_rows():
                    assert (row.shape, row.dtype) == (max_shape[1:], np.uint8)
                    file.write(row.tobytes())
                    num_rows += 1
                file.seek(0)
                final = _head((num_rows, *max_shape[1:]))
                assert len(final) == len(head), "NumPy leaves room for the longest number"
                file.write(final)
            note = make_note(np.lib.format.open_memmap(temporary, mode="c"))
            status = temporary.stat()
            sidecar.write_text(json.dumps({"file": [status.st_size, status.st_mtime_ns], "note": note}))
            os.replace(temporary, path)
            os.replace(sidecar, path.with_suffix(".json"))
    finally:
        temporary.unlink(missing_ok=True)
        sidecar.unlink(missing_ok=True)


def _head(shape: tuple[int, ...]) -> bytes:
    """Return the header of a .npy file of unsigned bytes."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return head.getvalue()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the system takes the lock away when the process ends."""
    with _writable(folder), exclusive_lock(folder / ".lock"):
        yield


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the cache in {folder} cannot be written: {error.strerror or error}.\n"
            "  Name a folder that has room: type export CONVLINE_CACHE=FOLDER before the command"
        ) from error
