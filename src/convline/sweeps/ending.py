"""How a sweep ends: with its table, whatever happened; after an interruption, with what to type to go on."""

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from convline.errors import Interrupted


@contextmanager
def closing() -> Iterator[Callable[[Path], None]]:
    """Yields a function that takes the sweep's folder, once it is known.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came.
    """
    from convline.callbacks.interrupt import stoppable

    known: list[Path] = []
    with stoppable(""):
        try:
            try:
                yield known.append
            finally:
                for folder in known:
                    from convline.reporting.report import report_sweep

                    report_sweep(folder)
        except (Interrupted, KeyboardInterrupt) as stop:
            raise Interrupted(getattr(stop, "signum", signal.SIGINT), f"python {shlex.join(sys.argv)}") from stop
