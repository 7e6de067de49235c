"""Child processes that this one watches: each a module of ours, which ends with its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


def start_module(module: str, words: Sequence[str], environment: Mapping[str, str], **how: object) -> subprocess.Popen:
    """Run `python -m MODULE WORDS`.

    Args:
        module, words: what.
        environment: added to ours.
        how: further arguments of Popen.
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    # a session of its own: Ctrl-C reaches this process alone, which passes it on
    return subprocess.Popen([sys.executable, "-m", module, *words], env=env, start_new_session=True, **how)  # type: ignore[call-overload]


def exit_with_parent() -> None:
    """To be called by the child: one whose watcher was killed would go on writing where nobody expects it."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def forward_signals(children: Sequence[subprocess.Popen]) -> Iterator[list[int]]:
    """Pass Ctrl-C and SIGTERM on to every child; yields the list of what came.

    Args:
        children: may change while the block runs.
    """
    received: list[int] = []

    def forward(signum: int, frame: object) -> None:
        received.append(signum)
        for process in children:
            process.send_signal(signum)

    previous = {signum: signal.signal(signum, forward) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
