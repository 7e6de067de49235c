"""Launch data-parallel training: one process a device, started as `python -m convline.run.ranks RUN CHECKPOINT`.

Lightning's own launcher runs the command line again in every rank. In a sweep, each rank would then repeat the sweep
instead of training the current job. Here a rank gets the run directory alone, and reads its config there.

The launching process does not train. It watches the ranks: if one dies, the others, which would wait for it for ever,
are ended too.
"""

import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from torch.distributed import TCPStore

from convline.errors import Interrupted, Pruned, UserError
from convline.formatting import first_line
from convline.run.child_process import exit_with_parent, forward_signals, start_module

GRACE_SECONDS = 10  # time for the other ranks to end after one has failed; then they are killed
PRUNED_STATUS = 3  # exit status of a rank whose run was pruned
ERROR_FILE = "rank-error.txt"  # in the run directory: the error of the first rank that failed


def fit_ranks(run_dir: Path, checkpoint: Path | None, num_ranks: int, hint: str) -> None:
    """Train a run with one process a rank, and wait until all have ended.

    Args:
        run_dir: the run directory, which holds config.yaml.
        checkpoint: the checkpoint to continue from; None starts at the beginning.
        num_ranks: number of ranks.
        hint: the command that continues the run after an interruption.
    Raises:
        Interrupted: Ctrl-C or SIGTERM was received; the ranks have saved their state.
        Pruned: the search pruned the run.
        UserError: a rank failed.
    """
    error_file = run_dir / ERROR_FILE
    error_file.unlink(missing_ok=True)
    # The ranks meet through this store. Its port is free because the store itself binds it; a port that is looked up,
    # closed and given to the ranks may be taken before the first rank binds it.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environment = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "NODE_RANK": "0",
        # With this variable, which torchrun sets, torch connects every rank to the store instead of starting one in
        # rank 0 (read in torch 2.15, distributed/rendezvous.py); without it, rank 0 fails: "address already in use".
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    arguments = [str(run_dir), str(checkpoint or "")]
    ranks = [
        start_module("convline.run.ranks", arguments, {**environment, "LOCAL_RANK": str(rank)})
        for rank in range(num_ranks)
    ]
    try:
        with forward_signals(ranks) as received:
            _wait(ranks)
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    statuses = [process.returncode for process in ranks]
    signals = [status - 128 for status in statuses if status - 128 in (signal.SIGINT, signal.SIGTERM)]
    if signals and (received or len(signals) == num_ranks):  # a scheduler may signal the ranks themselves
        raise Interrupted((received or signals)[0], hint)
    if PRUNED_STATUS in statuses:
        raise Pruned
    if any(statuses):
        if error_file.is_file():
            raise UserError(error_file.read_text())
        raise UserError(f"the ranks of this run ended with the statuses {statuses}; -9 is a rank that was killed.")


def _wait(ranks: list[subprocess.Popen]) -> None:
    """Wait until all ranks have ended, or until `GRACE_SECONDS` after the first has failed."""
    failed_at = None
    while any(process.poll() is None for process in ranks):
        if failed_at is None and any(process.returncode for process in ranks):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > GRACE_SECONDS:
            return
        time.sleep(0.05)


def main() -> int:
    """Train one rank in this process, and return its exit status. The launching process prints its error."""
    exit_with_parent()
    run_dir, checkpoint = sys.argv[1:]
    try:
        from convline.run.train import fit_rank  # at the top it would be a circle: train.py imports this module

        fit_rank(Path(run_dir), Path(checkpoint) if checkpoint else None)
    except (Interrupted, KeyboardInterrupt) as stop:
        return 128 + getattr(stop, "signum", signal.SIGINT)
    except Pruned:
        return PRUNED_STATUS
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else f"{first_line(error)}\n{traceback.format_exc()}"
        # "x" keeps the file of an earlier rank: the ranks that fail after it only report that they lost it
        with suppress(FileExistsError), open(Path(run_dir) / ERROR_FILE, "x") as file:
            file.write(message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
