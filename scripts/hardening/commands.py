"""Run a command of Convline in a process forked from this one, and look for what it has left."""

import atexit
import contextlib
import ctypes
import os
import re
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardening.points import FIRED, PLAN, TRACE, Plan, install, processes_of, send_signal

MAIN = "CONVLINE_KILL_MAIN"  # environment variable: the process id of the command
OUTPUT = "output.txt"  # in the folder: all that the command printed
CHILDREN = Path(__file__).parent / "child_processes"
SUBREAPER = 36  # of prctl: orphans get this process as parent
ORPHAN_SECONDS = 15.0  # that children have to notice that their parent is dead; DataLoader workers look every 5 s


@dataclass(frozen=True)
class Ended:
    """Describe a command that has ended.

    Args:
        status: its exit status; minus the signal's number if one ended it.
        text: all that it printed.
        point: name of the point at which it received its first signal; "" if it received none.
        points: names of the points that its own process passed.
        has_hung: whether it had to be ended.
    """

    status: int
    text: str
    point: str
    points: tuple[str, ...]
    has_hung: bool

    @property
    def hint(self) -> list[str]:
        """Return the words of the command that the message says to type; [] if it names none."""
        found = re.findall(r"[Tt]o go on, type: python \S*train\.py (.*)", self.text)
        return shlex.split(found[-1]) if found else []


def preload() -> None:
    """Import what commands import, so that a forked process starts at once; adopt orphans."""
    import importlib

    import torch

    torch.set_num_threads(1)
    for module in (
        "convline.main",
        "convline.run.train",
        "convline.sweeps.grid",
        "convline.sweeps.search",
        "convline.sweeps.isolation",
        "convline.reporting",
        "convline.callbacks.optuna_pruning",
        "hydra.main",
        "optuna",
        "sqlalchemy.dialects.sqlite",
        "tensorboard.summary.writer.event_file_writer",
    ):
        importlib.import_module(module)
    adopt_orphans()


def adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants, so that it can see them."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def run(
    words: list[str],
    plan: Plan,
    seconds: float = 400.0,
    interrupt: Callable[[int], bool] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Ended:
    """Run `python train.py WORDS` in the plan's folder, and wait until it has ended.

    Args:
        words: its arguments.
        plan: the signals that it gets at its points.
        seconds: after which it counts as hung.
        interrupt: called with the process id again and again, until it returns true.
        prepare: called in the new process before the command.
    """
    folder = Path(plan.folder)
    for name in (FIRED, TRACE, OUTPUT):
        (folder / name).unlink(missing_ok=True)
    output = folder / OUTPUT
    pid = os.fork()
    if pid == 0:
        _become_command(words, plan, output, prepare)
    end = time.monotonic() + seconds
    status, has_hung = None, False
    while status is None:
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(code)
        elif time.monotonic() > end:
            has_hung = True
            for process in processes_of(pid, with_descendants=True):
                send_signal(process, signal.SIGKILL)
            end = time.monotonic() + 10
        else:
            if interrupt is not None and interrupt(pid):
                interrupt = None
            time.sleep(0.003)
    fired = folder / FIRED
    names = (folder / TRACE).read_text().split("\n")[:-1] if (folder / TRACE).exists() else []
    point = fired.read_text() if fired.exists() else ""
    return Ended(status, output.read_text(errors="replace"), point, tuple(names), has_hung)


def _become_command(words: list[str], plan: Plan, output: Path, prepare: Callable[[], None] | None) -> None:
    status = 1
    try:
        os.setsid()
        os.chdir(plan.folder)
        os.environ |= {PLAN: plan.encode(), MAIN: str(os.getpid()), "TMPDIR": plan.folder, "OMP_NUM_THREADS": "1"}
        os.environ["CONVLINE_CACHE"] = f"{plan.folder}/cache"
        sys.path.insert(0, str(CHILDREN))
        for descriptor, path, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
            (2, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        ):
            opened = os.open(path, flags)
            os.dup2(opened, descriptor)
            os.close(opened)
        for descriptor, names in ((1, ("stdout", "__stdout__")), (2, ("stderr", "__stderr__"))):
            stream = os.fdopen(descriptor, "w", buffering=1)
            for name in names:
                setattr(sys, name, stream)
        sys.argv = ["train.py", *words]
        if prepare is not None:
            prepare()
        install(plan, os.getpid())
        from convline.main import main
        from convline.signals import exit_with

        exit_with(main())
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:  # what Python itself would print
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def orphans() -> list[str]:
    """Wait until no process of an ended command is left; return the command lines of those that stay, and end them."""
    end = time.monotonic() + ORPHAN_SECONDS
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        left = [pid for pid in processes_of(os.getpid(), with_descendants=True) if pid != os.getpid()]
        if not left:
            return []
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    lines = []
    for pid in left:
        with contextlib.suppress(OSError):
            lines.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip())
        send_signal(pid, signal.SIGKILL)
    return lines
