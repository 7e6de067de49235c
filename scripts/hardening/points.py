"""Send signals to a process at points of its work that have names: before it opens, renames or removes a file.

The product is not changed. An audit hook of Python sees every file that is opened for writing, renamed or removed, and
every process that is started; what no audit hook sees is wrapped: the next batch, and a transaction of a study.
`sitecustomize.py` in the folder `child_processes` installs the audit hook in the processes that a command starts.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

PLAN = "CONVLINE_KILL_PLAN"  # environment variable: the plan as JSON
TRACE = "points.txt"  # in the folder: a line for each point that the process passed
FIRED = "fired"  # in the folder: made when the first signal of a plan is sent


@dataclass(frozen=True)
class Plan:
    """Say which signals a command receives, and where.

    Args:
        folder: folder in which the command runs.
        signals: names of the signals, in order.
        point: number of the point at which the first signal is sent; 0: none.
        gaps: points between two signals; 0 sends both at once.
        delay: seconds between a point and its signal, which then comes while the file is being written.
        target: "self", the process at the point; "main", the process of the command; "group", its process group, as a
            terminal does at Ctrl-C; "all", it and all of its descendants, as some schedulers do.
        in_children: count the points of the processes that the command starts, instead of its own.
    """

    folder: str
    signals: tuple[str, ...] = ()
    point: int = 0
    gaps: tuple[int, ...] = ()
    delay: float = 0.0
    target: str = "self"
    in_children: bool = False

    def encode(self) -> str:
        """Return the plan as a text for the environment."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the plan of a text."""
        values = json.loads(text)
        return cls(**{**values, "signals": tuple(values["signals"]), "gaps": tuple(values["gaps"])})


class Points:
    """Count the points of this process, and send the signals of a plan at its points.

    Args:
        plan: the plan.
        main_pid: process id of the command.
    """

    def __init__(self, plan: Plan, main_pid: int) -> None:
        self._plan, self._main_pid = plan, main_pid
        self._count = 0
        self._is_here = False  # within a point: what it does is no point itself
        self._pid = os.getpid()
        numbers = [plan.point]
        for gap in plan.gaps:
            numbers.append(numbers[-1] + gap)
        self._signals = list(zip(numbers, plan.signals, strict=False)) if plan.point else []
        self._has_fired = False
        self._trace = os.open(Path(plan.folder) / TRACE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def reach(self, name: str) -> None:
        """Note that the process is at the point of this name, and send what the plan sends here."""
        # the main thread alone: others reach theirs in another order each time. A forked process is not counted.
        if self._is_here or threading.current_thread() is not threading.main_thread() or os.getpid() != self._pid:
            return
        self._is_here = True
        try:
            self._count += 1
            os.write(self._trace, f"{name}\n".encode())
            due = [signum for number, signum in self._signals if number == self._count]
        finally:
            self._is_here = False
        for name_of_signal in due:
            self._has_fired = self._has_fired or self._claim(name)
            if self._has_fired:
                self._send(signal.Signals[f"SIG{name_of_signal}"])

    def _claim(self, name: str) -> bool:
        """Return whether this process is the first of the command's that sends signals; write the point's name."""
        try:
            descriptor = os.open(Path(self._plan.folder) / FIRED, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            self._signals = []
            return False
        os.write(descriptor, name.encode())
        os.close(descriptor)
        return True

    def _send(self, signum: signal.Signals) -> None:
        if self._plan.delay:
            threading.Thread(target=self._send_now, args=(signum, self._plan.delay), daemon=True).start()
        else:
            self._send_now(signum)

    def _send_now(self, signum: signal.Signals, delay: float = 0.0) -> None:
        time.sleep(delay)
        target = self._main_pid if self._plan.target == "main" else os.getpid()
        if self._plan.target in ("group", "all"):
            # a fork of the main thread is no point; a thread passes none anyway
            self._is_here = threading.current_thread() is threading.main_thread()
            if sender := os.fork():  # another process sends, as a terminal or a scheduler is another process
                os.waitpid(sender, 0)
            else:
                try:
                    for pid in processes_of(self._main_pid, with_descendants=self._plan.target == "all"):
                        if pid not in (target, os.getpid()):
                            send_signal(pid, signum)
                finally:  # whatever happened: a copy of the process must not go on with its work
                    os._exit(0)
            self._is_here = False
        send_signal(target, signum)


def send_signal(pid: int, signum: int) -> None:
    """Send a signal to a process, unless it has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)


def processes_of(main_pid: int, with_descendants: bool) -> list[int]:
    """Return the living processes of a command: those of its process group, or it and all of its descendants."""
    parents: dict[int, int] = {}
    group = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, group_id = path.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):  # it has ended meanwhile
            continue
        if state != "Z":
            parents[int(path.parent.name)] = int(parent)
            group += [int(path.parent.name)] if int(group_id) == main_pid else []
    if not with_descendants:
        return group
    found = {main_pid} & set(parents)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def install(plan: Plan, main_pid: int) -> None:
    """Install the hooks in this process, which is the command or one of its children."""
    is_main = os.getpid() == main_pid
    if plan.in_children == is_main:
        plan = replace(plan, point=0)
    points = Points(plan, main_pid)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in mode for letter in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
            if writes and (name := _name(path, plan.folder)):
                points.reach(f"open {name}")
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            target = arguments[1] if event == "os.rename" else arguments[0]
            if name := _name(target, plan.folder):
                points.reach(f"{event.rpartition('.')[2]} {name}")
        elif event in ("os.fork", "subprocess.Popen"):
            points.reach(event)

    sys.addaudithook(audit)
    if is_main:
        _wrap(points)


def _name(path: object, root: str) -> str | None:
    """Return the short name of a file in the folder of the command; None for another file."""
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    full = os.path.abspath(os.fsdecode(path))
    name = os.path.basename(full)
    if not full.startswith(root + os.sep) or name in (TRACE, FIRED):
        return None
    if "=" in name:
        return "run directory"
    return "event file" if name.startswith("events.out") else name


def _wrap(points: Points) -> None:
    from convline.data.loader import Loader

    next_batch = Loader.next_batch

    def counted_batch(self: Loader) -> Any:
        points.reach("batch")
        return next_batch(self)

    Loader.next_batch = counted_batch  # type: ignore[method-assign]
    if "sqlalchemy" in sys.modules:  # a command of one run needs no study
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, "commit", lambda connection: points.reach("commit of the study"))
