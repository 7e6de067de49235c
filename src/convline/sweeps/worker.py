"""One of the processes that share a sweep's jobs, started by `convline.sweeps.workers`."""

import json
import sys
from pathlib import Path

from convline import runs
from convline.callbacks.interrupt import stoppable
from convline.children import end_with_parent
from convline.data.shared import sharing
from convline.errors import Interrupted
from convline.sweeps.perform import perform, words_of


def main() -> int:
    """Do the jobs that stand on stdin, as far as they are not done or taken when their turn comes."""
    end_with_parent()
    task = json.load(sys.stdin)
    sys.argv = task["command"]
    directories = list(map(Path, task["directories"]))
    try:
        with stoppable(""), sharing():
            for number, run_dir in enumerate(directories, 1):
                if perform(run_dir, f"job {number} of {len(directories)}", quiet=True) == "finished":
                    summary = runs.read_summary(run_dir)
                    figures = f"val/acc {summary['metrics']['val/acc']:.4f} in {summary['seconds']:.1f} s"
                    print(f"── finished: {words_of(run_dir)}: {figures}", flush=True)
    except (Interrupted, KeyboardInterrupt) as stop:
        return 128 + getattr(stop, "signum", 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
