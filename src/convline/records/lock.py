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

from convline.errors import UserError

HEARTBEAT_SECONDS = 5.0  # between two touches
STALE_SECONDS = 60.0  # without a touch; then a process on another machine counts as dead
HEARTBEAT = "heartbeat"


class HeldError(UserError):
    """Report that another process has locked the run directory."""


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Lock a run directory while the block runs; if this process dies, the lock is released.

    Raises:
        HeldError: another process has locked it.
    """
    with open(run_dir / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            has_lock = True
        except BlockingIOError as error:
            raise _held(run_dir) from error
        except OSError:
            has_lock = False  # the file system has no locks: the heartbeat alone decides
        _take_heartbeat(run_dir, has_lock)
        ended = threading.Event()
        threading.Thread(target=_touch_until, args=(run_dir / HEARTBEAT, ended), daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            (run_dir / HEARTBEAT).unlink(missing_ok=True)


def is_held(run_dir: Path) -> bool:
    """Return whether a live process has locked the directory, by its heartbeat; this writes nothing."""
    path = run_dir / HEARTBEAT
    try:
        holder, seconds = _holder(path), _seconds_since_touch(path)
    except FileNotFoundError:
        return False
    return seconds < STALE_SECONDS and (holder[0] != socket.gethostname() or _exists(holder[1]))


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
    for _ in range(2):
        try:
            with open(path, "x") as file:  # atomic: of two processes only one creates it
                json.dump({"host": socket.gethostname(), "pid": os.getpid()}, file)
            return
        except FileExistsError:
            pass
        try:
            if is_held(run_dir) and not (has_lock and _holder(path)[0] == socket.gethostname()):
                raise _held(run_dir)
            dead = path.with_name(f"{HEARTBEAT}.{socket.gethostname()}.{os.getpid()}")
            path.rename(dead)  # atomic too: of two processes that find it stale, only one removes it
            dead.unlink()
        except FileNotFoundError:
            pass
    raise _held(run_dir)


def _touch_until(path: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):  # a disk that is full or unreachable for a moment must not end the run
            os.utime(path)


def _holder(path: Path) -> tuple[str, int]:
    """Read host and process id; an empty host and 0 if the file is not written yet."""
    try:
        content = json.loads(path.read_text())
        return str(content["host"]), int(content["pid"])
    except (ValueError, KeyError, TypeError):
        return "", 0


def _seconds_since_touch(path: Path) -> float:
    """Return the seconds since the last touch, by the clock of the file system, since clocks of machines differ."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as now:
            return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        raise
    except OSError:  # a folder that this user cannot write to, or a full disk
        return time.time() - path.stat().st_mtime


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _held(run_dir: Path) -> HeldError:
    return HeldError(f"{run_dir} is still running, in another process. End that first.")
