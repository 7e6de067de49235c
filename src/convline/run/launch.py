"""Data-parallel training on several devices: one process a device, each given the run's directory and nothing else.

Lightning's own launcher re-runs the command line. In a sweep that would replay the sweep in every rank, with other
values than those of the job that is running. This process trains nothing: it watches, so that a rank that dies ends the
run instead of leaving the others waiting for it.
"""

import signal
import subprocess
import time
from pathlib import Path

from torch.distributed import TCPStore

from convline.errors import Interrupted, Pruned, UserError
from convline.run.processes import forward_signals, start_module

PATIENCE = 10  # seconds that the other ranks get to end by themselves
PRUNED = 3  # exit status of a rank whose run the search ended
REASON = "rank-error.txt"  # in the run's directory: why the first rank that failed did


def fit(run_dir: Path, checkpoint: Path | None, world_size: int, hint: str) -> None:
    """Train the run in `run_dir` with one process a rank, and wait for the end.

    Args:
        run_dir: holds config.yaml.
        checkpoint: to go on from.
        world_size: number of ranks.
        hint: what to type to go on after an interruption.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the ranks have saved the state.
        Pruned: the search ended the run.
        UserError: a rank failed.
    """
    reason = run_dir / REASON
    reason.unlink(missing_ok=True)
    # This process keeps the store through which the ranks meet. It binds a free port itself; a port that is looked up,
    # closed and given to the ranks may be taken before the first rank binds it.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    address = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "NODE_RANK": "0",
        # With this variable, which torchrun sets, torch connects every rank to the store instead of starting one in
        # rank 0 (read in torch 2.15, distributed/rendezvous.py); without it, rank 0 fails: "address already in use".
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    arguments = [str(run_dir), str(checkpoint or "")]
    ranks = [
        start_module("convline.run.rank_process", arguments, {**address, "LOCAL_RANK": str(rank)})
        for rank in range(world_size)
    ]
    try:
        with forward_signals(ranks) as received:
            _wait(ranks)
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    statuses = [process.returncode for process in ranks]
    stopped = [status - 128 for status in statuses if status - 128 in (signal.SIGINT, signal.SIGTERM)]
    if stopped and (received or len(stopped) == world_size):  # a scheduler may signal the ranks themselves
        raise Interrupted((received or stopped)[0], hint)
    if PRUNED in statuses:
        raise Pruned
    if any(statuses):
        if reason.is_file():
            raise UserError(reason.read_text())
        raise UserError(f"the ranks of this run ended with the statuses {statuses}; -9 is a rank that was killed.")


def _wait(ranks: list[subprocess.Popen]) -> None:
    """Until all have ended, or one has failed and the others have had their time."""
    failed_at = None
    while any(process.poll() is None for process in ranks):
        if failed_at is None and any(process.returncode for process in ranks):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > PATIENCE:
            return
        time.sleep(0.05)
