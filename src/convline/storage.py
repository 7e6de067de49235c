"""Write files whole, lock them between processes, hash values, and find the cache folder."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from convline.errors import UserError

__all__ = [
    "cache_directory",
    "exclusive_lock",
    "make_private",
    "replacing",
    "short_hash",
    "state_directory",
    "write_json",
    "write_text",
]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the block has ended without an error.

    A reader sees the old file or the new one, never half of either: a rename within a folder is atomic. The temporary
    file is called `path` with the ending `.tmp`; if the block fails, it is removed.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8 and with the line ends that `text` has."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole; values that JSON does not know are written as text."""
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock file `path`, then hold it for the block.

    It is for short critical sections, in which a few files are read and written. The system releases it when the
    process ends, however it ends. The file stays.

    Raises:
        OSError: the lock file cannot be opened.
    """
    with open(path, "a"):  # fails as any file would, before the next line forgives errors of locking alone
        pass
    lock = FileLock(path)
    # A file system that cannot lock answers ENOLCK or EOPNOTSUPP: the block then runs unprotected, since a study or a
    # sweep there is better than none. One without flock at all (ENOSYS) gets filelock's lock by a file's existence.
    with suppress(OSError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def cache_directory() -> Path:
    """Return $CONVLINE_CACHE, or else `convline` in $XDG_CACHE_HOME, or else in ~/.cache."""
    own = os.environ.get("CONVLINE_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or _home("CONVLINE_CACHE") / ".cache") / "convline"


def state_directory() -> Path:
    """Return $CONVLINE_STATE, or else `convline` in $XDG_STATE_HOME, or else in ~/.local/state."""
    own = os.environ.get("CONVLINE_STATE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_STATE_HOME") or _home("CONVLINE_STATE") / ".local" / "state") / "convline"


def _home(variable: str) -> Path:
    try:
        return Path.home()
    except RuntimeError as error:  # a container may run as a user that the system does not know
        raise UserError(
            f"this user has no home folder.\n  Name a folder in its place: export {variable}=FOLDER"
        ) from error


def make_private(folder: Path) -> None:
    """Make a folder that only its user can read, if it is not there; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another process was quicker
            folder.mkdir(mode=0o700)


def short_hash(*chunks: str | bytes | memoryview) -> str:
    """Return 16 hexadecimal digits that name the content of all chunks, joined: BLAKE2b of 64 bits.

    Among a million values, the probability that any two share a hash is 3e-8. It protects against accidents, not
    against an attacker.
    """
    digest = hashlib.blake2b(digest_size=8)
    for chunk in chunks:
        digest.update(os.fsencode(chunk) if isinstance(chunk, str) else chunk)  # as bytes that a file name may have
    return digest.hexdigest()
