"""How a sweep ends: with its table, whatever happened; after an interruption, with what to type to go on."""

import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from convline.errors import Interrupted
from convline.sweeps.figure import figure


@contextmanager
def closing() -> Iterator[Callable[[Path, Sequence[Path]], None]]:
    """Yields a function that takes the sweep's folder and the directories of this command's jobs, once they are known.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came.
    """
    from convline.callbacks.interrupt import stoppable

    known: list[tuple[Path, Sequence[Path]]] = []
    with stoppable(""):
        try:
            try:
                yield lambda folder, directories: known.append((folder, directories))
            finally:
                for folder, directories in known:
                    from convline.reporting.report import report_sweep

                    report_sweep(folder)
                    if text := figure(directories):
                        print(text)
        except (Interrupted, KeyboardInterrupt) as stop:
            raise Interrupted(getattr(stop, "signum", signal.SIGINT), f"python {shlex.join(sys.argv)}") from stop
