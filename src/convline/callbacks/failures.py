"""Report an error in drawing a figure or in an end-of-run callback, and let the run go on."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from convline.errors import UserError
from convline.formatting import first_line
from convline.training.loaded_run import LoadedRun

LOG_NAME = "log.txt"  # in the run directory; a job of a sweep writes all its output there


@contextmanager
def failures_reported(activity: str, run: LoadedRun) -> Iterator[None]:
    """Catch an exception of the block and print one line on stderr; append its traceback to the run's `log.txt`.

    With `debug=true` the traceback is printed on stderr too. `Interrupted` and `KeyboardInterrupt` are not caught.

    Args:
        activity: names in the line what failed, such as "drawing filters".
        run: the run to whose log the traceback is appended.
    """
    try:
        yield
    except Exception as error:
        traceback_text, log = "".join(traceback.format_exception(error)), run.run_dir / LOG_NAME
        message = f"{activity} failed: {first_line(error)}"
        try:
            with open(log, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{message}\n{traceback_text}")
        except OSError:  # a full disk may be the very reason of the failure
            print(f"{message}\n{traceback_text}", end="", file=sys.stderr, flush=True)
            return
        print(f"{message} (traceback: {log})", file=sys.stderr, flush=True)
        if _is_debugging(run):
            print(traceback_text, end="", file=sys.stderr, flush=True)


def _is_debugging(run: LoadedRun) -> bool:
    try:
        return bool(run.cfg.get("debug"))
    except UserError:  # the directory of another Lightning trainer has no config
        return False
