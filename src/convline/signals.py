"""Stop on Ctrl-C or a signal of a scheduler: raise `Interrupted` at once, outside the training loop."""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from convline.errors import STOP_SIGNALS, Interrupted


@contextmanager
def stoppable(hint: str) -> Iterator[None]:
    """Raise `Interrupted` at once on one of the `STOP_SIGNALS` within the block, which is outside the training loop."""

    def stop(signum: int, frame: FrameType | None) -> None:
        interrupt(signum, hint, frame)

    previous = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    report = sys.unraisablehook
    sys.unraisablehook = lambda lost: _send_again(lost.exc_value, report, lost)
    set_handlers(dict.fromkeys(STOP_SIGNALS, stop))
    try:
        yield
    finally:
        set_handlers(previous)
        sys.unraisablehook = report


def interrupt(signum: int, hint: str, frame: FrameType | None) -> None:
    """Raise `Interrupted` in a signal handler; in the hook below it would be lost, so the signal is sent once more.

    Args:
        signum: the signal's number.
        hint: what to type to go on.
        frame: the frame that the signal has interrupted.
    """
    while frame is not None:
        if frame.f_code is _send_again.__code__:
            _thread.start_new_thread(_send_later, (signum,))
            return
        frame = frame.f_back
    raise Interrupted(signum, hint)


def _send_again(error: BaseException | None, report: Callable[[Any], object], lost: object) -> None:
    """Send a signal once more whose `Interrupted` was raised in a destructor: Python would print it, and go on."""
    if isinstance(error, Interrupted):
        _thread.start_new_thread(_send_later, (error.signum,))
    else:
        report(lost)


def _send_later(signum: int) -> None:
    time.sleep(0.01)  # until the destructor has ended
    os.kill(os.getpid(), signum)


def set_handlers(handlers: Mapping[Any, Any]) -> None:
    """Set signal handlers, in the main thread alone."""
    # Python accepts signal handlers in the main thread only
    if threading.current_thread() is threading.main_thread():
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Hold the `STOP_SIGNALS` back within the block, from this thread and from the processes that it starts.

    A signal that comes meanwhile is delivered at the end of the block. A process started in it still holds them back:
    it calls `unblock_signals` when it can answer them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # The mask is that of this thread and of new processes. Another thread may get the signal, and Python then runs the
    # handler in the main thread all the same: there it only notes the signal.
    received: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS} if is_main else {}
    handlers = {signum: handler for signum, handler in handlers.items() if callable(handler)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    set_handlers(dict.fromkeys(handlers, lambda signum, frame: received.append(signum)))
    try:
        yield
    finally:
        set_handlers(handlers)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for signum in received:
            os.kill(os.getpid(), signum)


def unblock_signals(*signums: int) -> None:
    """Let signals through that `signals_blocked` has held back in the parent process."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signums)


def exit_with(status: int) -> NoReturn:
    """Exit; a signal that comes while Python exits ends the process at once, instead of printing a traceback."""
    set_handlers(dict.fromkeys(STOP_SIGNALS, signal.SIG_DFL))
    sys.exit(status)
