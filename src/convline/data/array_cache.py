"""Cache arrays on disk between runs, each as one .npy file that is memory-mapped when it is read.

The key of an array is a folder in the cache directory, a version of its source files, and the settings of its
conversion. One process at a time writes it, to a temporary file that is then renamed. A .json file with its metadata is
written last: without it, the array is incomplete. Arrays of other versions are removed when a new one is written.
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

Metadata = dict[str, Any]


def cached_array(
    folder: Path,
    version: str,
    settings: str,
    max_shape: tuple[int, ...],
    make_rows: Callable[[], Iterable[np.ndarray]],
    make_metadata: Callable[[np.ndarray], Metadata],
) -> tuple[np.ndarray, Metadata]:
    """Read the uint8 array of a version and settings from the cache; compute it if it is missing or damaged.

    Args:
        folder: folder of all versions and settings of one data set.
        version: version of the source files, a part of the file's name.
        settings: settings of the conversion, likewise.
        max_shape: largest shape; `make_rows` may yield fewer rows.
        make_rows: yields the rows in order; each is written at once.
        make_metadata: computes metadata, which JSON can store, from the finished array.
    Returns:
        The array, memory-mapped copy-on-write (changes stay in this process), and its metadata.
    Raises:
        UserError: the cache directory cannot be written.
    """
    path = folder / f"{version}-{settings}.npy"
    with writable_cache(folder):
        folder.mkdir(parents=True, exist_ok=True)
    cached = _open(path, max_shape)
    if cached is not None:
        return cached
    with _locked(folder):
        cached = _open(path, max_shape)  # another process may have written it in the meantime
        if cached is None:
            for leftover in folder.glob("*.tmp"):  # of a process that was killed
                leftover.unlink()
            _write(path, max_shape, make_rows, make_metadata)
            for old in folder.iterdir():
                if old.suffix in (".npy", ".json") and not old.name.startswith(f"{version}-"):
                    old.unlink()
            cached = _open(path, max_shape)
    assert cached is not None
    return cached


def _open(path: Path, max_shape: tuple[int, ...]) -> tuple[np.ndarray, Metadata] | None:
    """Open an array; return None if it is missing, or if its size or time has changed since it was written."""
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
    make_metadata: Callable[[np.ndarray], Metadata],
) -> None:
    temporary, sidecar = path.with_suffix(".npy.tmp"), path.with_suffix(".json.tmp")
    try:
        with writable_cache(path.parent):
            # the number of rows is known at the end: write a header for the most rows, and replace it then
            num_rows, header = 0, _header(max_shape)
            with open(temporary, "wb") as file:
                file.write(header)
                for row in make_rows():
                    assert (row.shape, row.dtype) == (max_shape[1:], np.uint8)
                    file.write(row.tobytes())
                    num_rows += 1
                file.seek(0)
                final_header = _header((num_rows, *max_shape[1:]))
                assert len(final_header) == len(header), "NumPy pads the header for the largest number of rows"
                file.write(final_header)
            metadata = make_metadata(np.lib.format.open_memmap(temporary, mode="c"))
            status = temporary.stat()
            sidecar.write_text(json.dumps({"file": [status.st_size, status.st_mtime_ns], "note": metadata}))
            os.replace(temporary, path)
            os.replace(sidecar, path.with_suffix(".json"))
    finally:
        temporary.unlink(missing_ok=True)
        sidecar.unlink(missing_ok=True)


def _header(shape: tuple[int, ...]) -> bytes:
    """Return the header of a .npy file of unsigned bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder for one process at a time; the operating system releases the lock when the process ends."""
    with writable_cache(folder), exclusive_lock(folder / ".lock"):
        yield


@contextlib.contextmanager
def writable_cache(folder: Path) -> Iterator[None]:
    """Turn an error of the block into one that says how to name another cache.

    Raises:
        UserError: a file of the cache cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the cache in {folder} cannot be written: {error.strerror or error}.\n"
            "  Name a folder that has room: type export CONVLINE_CACHE=FOLDER before the command"
        ) from error
