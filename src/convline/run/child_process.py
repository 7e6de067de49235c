"""Start child processes that run a module of this package, pass signals on to them, and end them with their parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from convline.config.options import import_folders
from convline.errors import STOP_SIGNALS
from convline.signals import signals_blocked

PARENT_PID = "CONVLINE_PARENT_PID"  # environment variable that gives a child the process id of its parent


def start_module(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], **popen_arguments: object
) -> subprocess.Popen:
    """Start `python -m MODULE ARGUMENTS` as a child process that has the import path of this process.

    The child holds the `STOP_SIGNALS` back until it calls `unblock_signals`: during its imports it could not answer
    them.

    Args:
        module: dotted name of the module.
        arguments: arguments of its command line.
        environment: variables that are added to the environment of this process.
        popen_arguments: further arguments of `subprocess.Popen`.
    """
    env = {
        **os.environ,
        "PYTHONPATH": import_path(),
        PARENT_PID: str(os.getpid()),
        **environment,
    }
    # -P: Python would put the current folder first on the path, where a file random.py shadows the module
    command = [sys.executable, "-P", "-m", module, *arguments]
    # in a session of its own, Ctrl-C reaches this process alone, which passes it on
    with signals_blocked():
        return subprocess.Popen(command, env=env, start_new_session=True, **popen_arguments)  # type: ignore[call-overload]


def import_path() -> str:
    """Return the import path of this process as `PYTHONPATH` of another one, where the user's own folders come last.

    Python puts the folder of the script first, or the current one, and Convline adds those that may hold code of the
    user's own. In front of the standard library, a file random.py in them would be run in the place of Python's.
    """
    own = {os.path.realpath(str(path)) for path in (os.getcwd(), Path(sys.argv[0]).parent, *import_folders())}
    own -= {os.path.realpath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}
    paths = list(dict.fromkeys(path for path in sys.path if path))
    return os.pathsep.join(sorted(paths, key=lambda path: os.path.realpath(path) in own))  # which keeps their order


def exit_with_parent() -> None:
    """Exit this child process as soon as its parent has died, so that no process goes on writing unnoticed."""
    # from the environment: if the parent has died already, getppid() returns the process that has adopted this one;
    # taken out of it, because the children of this process have another parent
    parent = int(os.environ.pop(PARENT_PID, None) or os.getppid())
    threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def forward_signals(children: Sequence[subprocess.Popen]) -> Iterator[list[int]]:
    """Pass the `STOP_SIGNALS` on to every child while the block runs, and yield the list of received signals.

    Args:
        children: the child processes; the sequence may change while the block runs.
    """
    received: list[int] = []

    def forward(signum: int, frame: object) -> None:
        received.append(signum)
        for process in children:
            process.send_signal(signum)

    previous = {signum: signal.signal(signum, forward) for signum in STOP_SIGNALS}
    try:
        yield received
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
