"""One of the processes that share a sweep's jobs, started by `convline.sweeps.process_pool`."""

import json
import sys
from pathlib import Path

from convline.callbacks.interrupt import stoppable
from convline.data.source_cache import sharing
from convline.errors import Interrupted
from convline.run.processes import exit_with_parent
from convline.sweeps.executors import Here

FAILED_FAST = 4  # exit status: a job failed, and no other is to be begun


def main() -> int:
    """Do the task that stands on stdin, as far as its jobs are not done or taken when their turn comes."""
    exit_with_parent()
    task = json.load(sys.stdin)
    sys.argv = task["command"]
    here = Here(task["fail_fast"])
    try:
        with stoppable(""), sharing():
            if "search" in task:
                from convline.sweeps.search import reopen

                has_failed = here.search(reopen(Path(task["search"])), quiet=True)
            else:
                has_failed = here.jobs(list(map(Path, task["directories"])), quiet=True)
    except (Interrupted, KeyboardInterrupt) as stop:
        return 128 + getattr(stop, "signum", 2)
    return FAILED_FAST if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
