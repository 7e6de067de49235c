"""One job of a sweep, in this process: claimed, isolated, logged, trained; whatever happens to it is its own."""

import sys
import traceback
from pathlib import Path
from typing import IO

from convline.errors import Interrupted, Pruned, UserError, first_line
from convline.records import directory as runs
from convline.records.lock import HeldError, locked
from convline.run import train
from convline.sweeps.isolation import isolated
from convline.sweeps.log import logged, logged_only


def perform(run_dir: Path, title: str, quiet: bool = False) -> str | None:
    """Do the job that lies in a directory, or go on with it; one that fails is reported at once.

    Args:
        run_dir: of the job.
        title: printed when it begins.
        quiet: what the job says goes to its log alone.
    Returns:
        How it ended: "finished", "failed" or "pruned"; None if another process has it or has done it.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the job's state is saved.
    """
    try:
        with locked(run_dir):
            if runs.read_summary(run_dir)["status"] not in ("waiting", "running", "interrupted"):
                return None
            print(f"── {title}: {words_of(run_dir)}", flush=True)
            with (logged_only if quiet else logged)(run_dir / "log.txt") as log, isolated():
                ended = _train(run_dir, log)
    except HeldError:
        return None
    if ended == "failed":
        report_failure(run_dir)
    elif quiet:
        _report_success(run_dir)
    return ended


def _train(run_dir: Path, log: IO[str]) -> str:
    try:
        train.run_or_resume(run_dir)
    except Pruned:
        return "pruned"
    except (Interrupted, KeyboardInterrupt):
        raise
    except BaseException as error:  # a library that calls sys.exit, too
        log.write(f"error: {error}\n" if isinstance(error, UserError) else traceback.format_exc())
        # run_or_resume says so itself, but not if it could not begin
        runs.update_summary(run_dir, status="failed", error=first_line(error))
        traceback.clear_frames(error.__traceback__)  # they hold the network and the data
        return "failed"
    return "finished"


def report_failure(run_dir: Path) -> None:
    """Say that a job failed: what it is, the first line of its error, and where its log is."""
    error = runs.read_summary(run_dir)["error"]
    print(f"── failed: {words_of(run_dir)}\n   {error}\n   see {run_dir / 'log.txt'}", file=sys.stderr, flush=True)


def _report_success(run_dir: Path) -> None:
    summary = runs.read_summary(run_dir)
    figures = f", val/acc {summary['metrics']['val/acc']:.4f}" if "metrics" in summary else ""
    print(f"── {summary['status']}: {words_of(run_dir)}{figures}, {summary['seconds']:.1f} s", flush=True)


def words_of(run_dir: Path) -> str:
    """The words of the command line in which a job differs from the others of its sweep."""
    return " ".join(runs.read_summary(run_dir)["swept"]) or run_dir.name
