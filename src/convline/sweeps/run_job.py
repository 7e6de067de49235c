"""Lock a job's run directory, train it, and record any failure. An exception never reaches another job.

The output of a job is also written to `log.txt` in its run directory.
"""

import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO, Any, TextIO

from convline.errors import Interrupted, Pruned, UserError
from convline.formatting import first_line
from convline.records.directory import read_summary, update_summary
from convline.records.lock import HeldError, locked
from convline.run.start import is_gone, run_or_resume


def run_jobs(directories: Sequence[Path], fail_fast: bool, quiet: bool = False) -> bool:
    """Run jobs one after the other in this process, which shares its imports and its training set among them.

    Args:
        directories: run directories of the jobs, in order.
        fail_fast: stop at the first job that fails.
        quiet: send the output of each job to its log only.
    Returns:
        Whether it stopped at a job that failed.
    """
    for index, run_dir in enumerate(directories, 1):
        outcome = run_job(run_dir, f"job {index} of {len(directories)}", quiet)
        if outcome == "failed" and fail_fast:
            return True
    return False


def run_job(run_dir: Path, title: str, quiet: bool = False) -> str | None:
    """Run or resume the job in a run directory, and print an error message at once if it fails.

    Args:
        run_dir: run directory of the job.
        title: printed when the job begins.
        quiet: send the output of the job to its log only.
    Returns:
        "finished", "failed" or "pruned"; None if another process runs the job or has run it.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the job's state is saved.
    """
    from convline.sweeps.isolation import isolated  # imports torch, which takes seconds

    try:
        with locked(run_dir):
            # read under the lock: another process may have finished the job since the caller read its status
            if read_summary(run_dir)["status"] not in ("waiting", "running", "interrupted"):
                return None
            print(f"── {title}: {job_label(run_dir)}", flush=True)
            with (_log_only if quiet else _log_and_print)(run_dir / "log.txt") as log, isolated():
                outcome = _train(run_dir, log)
    except HeldError:
        return None
    if outcome == "failed":
        report_failure(run_dir)
    elif quiet:
        _report_success(run_dir)
    return outcome


def _train(run_dir: Path, log: IO[str]) -> str:
    try:
        run_or_resume(run_dir)
    except Pruned:
        return "pruned"
    except (Interrupted, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too: a library that calls sys.exit must not end the sweep
        if is_gone(run_dir):  # there is nothing to record a failure in, nor for the other jobs
            raise
        log.write(f"error: {error}\n" if isinstance(error, UserError) else traceback.format_exc())
        # training records this itself, unless it failed before it could begin
        update_summary(run_dir, status="failed", error=first_line(error))
        traceback.clear_frames(error.__traceback__)  # the frames would keep the network and the data in memory
        return "failed"
    return "finished"


def report_failure(run_dir: Path) -> None:
    """Print a failed job's settings, the first line of its error, and the path of its log."""
    error = read_summary(run_dir).get("error")
    print(f"── failed: {job_label(run_dir)}\n   {error}\n   see {run_dir / 'log.txt'}", file=sys.stderr, flush=True)


def _report_success(run_dir: Path) -> None:
    summary = read_summary(run_dir)
    metrics = summary.get("metrics", {})
    accuracy = f", val/acc {metrics['val/acc']:.4f}" if "val/acc" in metrics else ""
    print(f"── {summary['status']}: {job_label(run_dir)}{accuracy}, {summary.get('seconds', 0):.1f} s", flush=True)


def job_label(run_dir: Path) -> str:
    """Return the overrides in which a job differs from the other jobs of its sweep."""
    return " ".join(read_summary(run_dir).get("swept", ())) or run_dir.name


_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colors and cursor movements


class _Tee:
    """Write to a stream and, line by line, to a log; of a line that a progress bar redraws, log the last state only.

    Args:
        stream: the terminal, or the stream that replaces it.
        log: the open log file.
    """

    def __init__(self, stream: TextIO, log: IO[str]) -> None:
        self._stream, self._log, self._line = stream, log, ""

    def write(self, text: str) -> int:
        """Write to the stream; append each completed line to the log."""
        for part in re.split(r"([\r\n])", _CONTROL_SEQUENCE.sub("", text)):
            if part == "\n":
                self._log.write(f"{self._line.rstrip()}\n")
                self._log.flush()  # a process that is killed writes nothing more
            self._line = "" if part in ("\r", "\n") else self._line + part
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _log_and_print(path: Path) -> Iterator[IO[str]]:
    """Append a copy of the block's stdout and stderr to a file, and yield the open file."""
    with (
        open(path, "a", encoding="utf-8", errors="backslashreplace") as log,
        redirect_stdout(_Tee(sys.stdout, log)),
        redirect_stderr(_Tee(sys.stderr, log)),
    ):
        yield log


@contextmanager
def _log_only(path: Path) -> Iterator[IO[str]]:
    """Redirect the output of the block and of its child processes to a file, and yield the open file.

    This replaces the file descriptors 1 and 2, since child processes and C libraries do not use `sys.stdout`.
    """
    saved = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    with open(path, "a", buffering=1, encoding="utf-8", errors="backslashreplace") as log:
        try:
            for descriptor in saved:
                os.dup2(log.fileno(), descriptor)
            yield log
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in saved.items():
                os.dup2(copy, descriptor)
                os.close(copy)
