"""Stop on Ctrl-C or a signal of a scheduler: raise `Interrupted` at once, outside the training loop."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from convline.errors import STOP_SIGNALS, Interrupted


@contextmanager
def stoppable(hint: str) -> Iterator[None]:
    """Raise `Interrupted` at once on one of the `STOP_SIGNALS` within the block, which is outside the training loop."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum, hint)

    previous = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    set_handlers(dict.fromkeys(STOP_SIGNALS, stop))
    try:
        yield
    finally:
        set_handlers(previous)


def set_handlers(handlers: Mapping[Any, Any]) -> None:
    """Set signal handlers, in the main thread alone."""
    # Python accepts signal handlers in the main thread only
    if threading.current_thread() is threading.main_thread():
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
