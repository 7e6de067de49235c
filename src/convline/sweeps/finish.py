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
                    if any(folder.glob("*/config.yaml")):  # a search may end before its first trial
                        from convline.reporting.report import report_sweep

                        report_sweep(folder)
        except (Interrupted, KeyboardInterrupt) as stop:
            # with rerun=all, what has been done anew would be done once more
            words = [word for word in sys.argv if not (known and word.lstrip("+") == "rerun=all")]
            raise Interrupted(getattr(stop, "signum", signal.SIGINT), f"python {shlex.join(words)}") from stop
