"""One rank of a data-parallel run, started by `convline.ranks`: `python -m convline.rank_process RUN CHECKPOINT`."""

import os
import sys
import threading
import time
from pathlib import Path

from convline.errors import Interrupted
from convline.main import guarded
from convline.training import fit_rank


def main() -> int:
    """Fit; says what went wrong as `python train.py` would, but leaves it to the watcher to say how to go on."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    return guarded(_fit, [])


def _end_with_parent(parent: int) -> None:
    """A rank whose watcher was killed would go on writing into a directory that nobody holds."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _fit() -> int:
    run_dir, checkpoint = sys.argv[1:]
    try:
        fit_rank(Path(run_dir), Path(checkpoint) if checkpoint else None)
    except Interrupted as stop:
        return 128 + stop.signum
    return 0


if __name__ == "__main__":
    sys.exit(main())
