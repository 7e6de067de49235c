"""Who has a run directory: one process at a time, and everybody can tell a live one from a dead one.

On one machine the system answers: it takes a lock (`flock` of `.lock`) away from a process that ends, however it ends.
Between machines that share a folder not every file system passes locks on. There the file `heartbeat` answers: it is
made by one test-and-make, says whose it is, and is touched every few seconds for as long as its process lives.
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

BEAT = 5.0  # seconds between two touches
STALE = 60.0  # seconds without a touch after which a process on another machine counts as dead
HEARTBEAT = "heartbeat"


class HeldError(UserError):
    """Another process has the directory."""


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Keep other processes from training in this directory, for as long as this one lives or the block lasts.

    Raises:
        HeldError: another process has it.
    """
    with open(run_dir / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            has_lock = True
        except BlockingIOError as error:
            raise _held(run_dir) from error
        except OSError:
            has_lock = False  # a file system without locks: the heartbeat alone decides
        _take_heartbeat(run_dir, has_lock)
        ended = threading.Event()
        threading.Thread(target=_beat, args=(run_dir / HEARTBEAT, ended), daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            (run_dir / HEARTBEAT).unlink(missing_ok=True)


def is_held(run_dir: Path) -> bool:
    """Whether a live process has the directory, as far as its heartbeat tells; touches nothing."""
    path = run_dir / HEARTBEAT
    try:
        holder, age = _holder(path), _age(path)
    except FileNotFoundError:
        return False
    return age < STALE and (holder[0] != socket.gethostname() or _exists(holder[1]))


def holder_pid(run_dir: Path) -> int | None:
    """The process on this machine that has, or had when it died, the directory."""
    try:
        host, pid = _holder(run_dir / HEARTBEAT)
    except FileNotFoundError:
        return None
    return pid if host == socket.gethostname() else None


def _take_heartbeat(run_dir: Path, has_lock: bool) -> None:
    """Make the file; one that is there is a dead process's, or of a machine that our lock does not reach."""
    path = run_dir / HEARTBEAT
    for _ in range(2):
        try:
            with open(path, "x") as file:  # the one test-and-make that two processes cannot both win
                json.dump({"host": socket.gethostname(), "pid": os.getpid()}, file)
            return
        except FileExistsError:
            pass
        try:
            if is_held(run_dir) and not (has_lock and _holder(path)[0] == socket.gethostname()):
                raise _held(run_dir)
            dead = path.with_name(f"{HEARTBEAT}.{socket.gethostname()}.{os.getpid()}")
            path.rename(dead)  # so that of two who find it stale only one removes it
            dead.unlink()
        except FileNotFoundError:
            pass
    raise _held(run_dir)


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with suppress(OSError):  # a disk that is full or away for a moment ends no run
            os.utime(path)


def _holder(path: Path) -> tuple[str, int]:
    """Host and process; nobody's if the file was caught before it was written."""
    try:
        content = json.loads(path.read_text())
        return str(content["host"]), int(content["pid"])
    except (ValueError, KeyError, TypeError):
        return "", 0


def _age(path: Path) -> float:
    """Seconds since the last touch, by the clock of the file system: other machines' clocks differ."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as now:
            return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        raise
    except OSError:  # only looked at: not ours to write, or nobody's, on a disk that is read-only or full
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
