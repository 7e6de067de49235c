"""One rank of a data-parallel run, started by `convline.ranks`: `python -m convline.rank_process RUN CHECKPOINT`."""

import sys
from pathlib import Path

from convline.errors import Interrupted
from convline.training import fit_rank


def main() -> None:
    """Fit, and end as rank 0 does."""
    run_dir, checkpoint = sys.argv[1:]
    try:
        fit_rank(Path(run_dir), Path(checkpoint) if checkpoint else None)
    except Interrupted as stop:
        sys.exit(128 + stop.signum)


if __name__ == "__main__":
    main()
