"""Run jobs or trials in one process of a pool; `convline.sweeps.process_pool` starts this module.

It is a module of its own so that no other module imports it, which `python -m` would warn about.
"""

import json
import sys
from pathlib import Path

from convline.config.options import import_folders, make_importable
from convline.data.source_cache import cache_sources
from convline.errors import STOP_SIGNALS, Interrupted
from convline.run.child_process import exit_with_parent
from convline.signals import exit_with, stoppable, unblock_signals
from convline.stdout import output_survives
from convline.sweeps.process_pool import FAILED_FAST
from convline.sweeps.run_job import run_jobs
from convline.sweeps.trials import reopen_trials


def main() -> int:
    """Do the task given on stdin; skip jobs that another process has taken, and return the exit status."""
    exit_with_parent()
    make_importable(import_folders())
    task = json.load(sys.stdin)
    sys.argv = task["command"]  # messages that say what to type name the user's command, not this module
    fail_fast = task["fail_fast"]
    try:
        with output_survives(), stoppable(""), cache_sources():
            unblock_signals(*STOP_SIGNALS)
            if "search" in task:
                has_failed = reopen_trials(Path(task["search"])).run(fail_fast, quiet=True)
            else:
                has_failed = run_jobs(list(map(Path, task["directories"])), fail_fast, quiet=True)
    except (Interrupted, KeyboardInterrupt) as stop:
        return 128 + getattr(stop, "signum", 2)
    return FAILED_FAST if has_failed else 0


if __name__ == "__main__":
    exit_with(main())
