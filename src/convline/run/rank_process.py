"""Train one rank of a data-parallel run: `python -m convline.run.rank_process RUN CHECKPOINT`."""

import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from convline.errors import Interrupted, Pruned, UserError
from convline.formatting import first_line
from convline.run import launch as ranks
from convline.run.processes import exit_with_parent
from convline.run.train import fit_rank


def main() -> int:
    """Fit; leaves it to the watcher to say what went wrong and how to go on."""
    exit_with_parent()
    return _fit()


def _fit() -> int:
    run_dir, checkpoint = sys.argv[1:]
    try:
        fit_rank(Path(run_dir), Path(checkpoint) if checkpoint else None)
    except (Interrupted, KeyboardInterrupt) as stop:
        return 128 + getattr(stop, "signum", signal.SIGINT)
    except Pruned:
        return ranks.PRUNED
    except Exception as error:
        why = str(error) if isinstance(error, UserError) else f"{first_line(error)}\n{traceback.format_exc()}"
        with suppress(FileExistsError), open(Path(run_dir) / ranks.REASON, "x") as file:
            file.write(why)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
