"""Lock a run directory, so that one process at a time trains in it and a dead process is recognized.

On one machine, the operating system releases a lock (`flock` of the file `.lock`) when its process ends, however it
ends. Not every file system passes locks on between machines that share a folder. There the file `heartbeat` decides: it
is created atomically, names its process, and is touched every few seconds while that process lives.
"""

import fcntl
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from convline.errors import UserError
from convline.machine import process_exists
from convline.records.files import RunFileError, read_record
from convline.signals import signals_blocked

HEARTBEAT_SECONDS = 5.0  # between two touches
STALE_SECONDS = 60.0  # without a touch; then a process on another machine counts as dead
HEARTBEAT = "heartbeat"

_lock_files: set[IO[bytes]] = set()  # of the directories that this process has locked


def _release_copies() -> None:
    """Close, in a forked process, its copies of the lock files, with which it would hold the locks of a dead parent."""
    while _lock_files:
        _lock_files.pop().close()


os.register_at_fork(after_in_child=_release_copies)


class HeldError(UserError):
    """Report that another process has locked the run directory."""


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Lock a run directory while the block runs; if this process dies, the lock is released.

    Raises:
        HeldError: another process has locked it.
        UserError: the lock cannot be opened.
    """
    try:
        # O_NONBLOCK: a pipe in the place of the file would wait for a reader
        descriptor = os.open(run_dir / ".lock", os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UserError(f"{run_dir / '.lock'} cannot be opened: {error.strerror}.\n  Remove it.") from error
    with open(descriptor, "wb", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            has_lock = True
        except BlockingIOError as error:
            raise _held(run_dir) from error
        except OSError:
            has_lock = False  # the file system has no locks: the heartbeat alone decides
        _take_heartbeat(run_dir, has_lock)
        ended = threading.Event()
        try:
            _lock_files.add(file)
            threading.Thread(target=_touch_until, args=(run_dir / HEARTBEAT, ended), daemon=True).start()
            yield
        finally:
            with signals_blocked():  # a second signal must not leave the heartbeat of this process, which lives
                ended.set()
                _lock_files.discard(file)
                (run_dir / HEARTBEAT).unlink(missing_ok=True)


def is_held(run_dir: Path) -> bool:
    """Return whether a live process has locked the directory, by its heartbeat; this writes nothing."""
    path = run_dir / HEARTBEAT
    try:
        holder, seconds = _holder(path), _seconds_since_touch(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.\n  Remove it.") from error
    # one from the future is of a dead process too: the clock was set back, and a live process has touched it since
    return abs(seconds) < STALE_SECONDS and (holder[0] != socket.gethostname() or process_exists(holder[1]))


def holder_pid(run_dir: Path) -> int | None:
    """Return the id of the process on this machine that has locked the directory, even if it has died; else None."""
    try:
        host, pid = _holder(run_dir / HEARTBEAT)
    except FileNotFoundError:
        return None
    return pid if host == socket.gethostname() else None


def _take_heartbeat(run_dir: Path, has_lock: bool) -> None:
    """Create the heartbeat file, in place of one that a dead process has left.

    Raises:
        HeldError: a live process has one; it may be on a machine that our lock does not reach.
    """
    path = run_dir / HEARTBEAT
    own = path.with_name(f"{HEARTBEAT}.{socket.gethostname()}.{os.getpid()}")
    try:
        for _ in range(2):
            own.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
            with suppress(FileExistsError):
                _link(own, path)  # atomic: of two processes only one makes it, and nobody ever sees it half written
                return
            with suppress(FileNotFoundError):
                if is_held(run_dir) and not (has_lock and _holder(path)[0] == socket.gethostname()):
                    raise _held(run_dir)
                path.rename(own)  # atomic too: of two processes that find it stale, only one removes it
    except (IsADirectoryError, NotADirectoryError) as error:
        raise UserError(f"{path} cannot be replaced: {error.strerror}.\n  Remove it.") from error
    finally:
        for left in run_dir.glob(f"{HEARTBEAT}.{socket.gethostname()}.*"):  # by this process, or one that was killed
            pid = left.suffix.removeprefix(".")
            if left == own or (pid.isdecimal() and not process_exists(int(pid))):
                left.unlink(missing_ok=True)
    raise _held(run_dir)


def _link(own: Path, path: Path) -> None:
    """Give a file a second name, unless there is one; without hard links, write the file under that name.

    Raises:
        FileExistsError: there is a file of that name.
    """
    try:
        os.link(own, path)
    except FileExistsError:
        raise
    except OSError:
        with open(path, "x") as file:
            file.write(own.read_text())


def _touch_until(path: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):  # a disk that is full or unreachable for a moment must not end the run
            os.utime(path)


def _holder(path: Path) -> tuple[str, int]:
    """Read host and process id; an empty host and 0 if the file is damaged, or not written yet.

    Raises:
        FileNotFoundError: there is no heartbeat.
    """
    try:
        content = read_record(path)
    except RunFileError as error:
        if error.is_missing:
            raise FileNotFoundError(path) from error
        return "", 0
    return content["host"], content["pid"]


def _seconds_since_touch(path: Path) -> float:
    """Return the seconds since the last touch, by the clock of the file system, since clocks of machines differ."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as now:
            return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        raise
    except OSError:  # a folder that this user cannot write to, or a full disk
        return time.time() - path.stat().st_mtime


def _held(run_dir: Path) -> HeldError:
    return HeldError(f"{run_dir} is still running, in another process. End that first.")
