"""Run one rank of a run, in a process that `launch.py` has started: `python -m convline.run.rank_process RUN_DIR`."""

import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `main` answers Ctrl-C, it prints no traceback of the imports

from convline.errors import Interrupted, Pruned, UserError  # noqa: E402
from convline.formatting import first_line  # noqa: E402
from convline.records.directory import read_trusted_config  # noqa: E402
from convline.run.launch import ERROR_FILE, PRUNED_STATUS  # noqa: E402
from convline.run.start import run_or_resume  # noqa: E402
from convline.run.world import OtherRankError, join  # noqa: E402
from convline.signals import exit_with, stoppable  # noqa: E402


def main() -> int:
    """Train this rank, and return its exit status. The launching process prints its error."""
    run_dir = Path(sys.argv[1])
    is_first = False
    try:
        with join(read_trusted_config(run_dir), is_resumed=True) as world, stoppable(""):
            is_first = world.rank == 0
            run_or_resume(run_dir, world)
    except (Interrupted, KeyboardInterrupt) as stop:
        # Only the first rank says how the run has ended: the agent ends all ranks when one of them fails.
        return 128 + getattr(stop, "signum", signal.SIGINT) if is_first else 0
    except Pruned:
        return PRUNED_STATUS if is_first else 0
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else f"{first_line(error)}\n{traceback.format_exc()}"
        # "x" keeps the file of an earlier rank: the ranks that fail after it only report that they lost it
        if is_first or not isinstance(error, OtherRankError):
            with suppress(FileExistsError), open(run_dir / ERROR_FILE, "x") as file:
                file.write(message)
        return 1
    return 0


if __name__ == "__main__":
    exit_with(main())
