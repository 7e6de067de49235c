"""Data-parallel training on several devices: one process a device, each given this run's directory and nothing else.

Lightning's own launcher re-runs the command line. In a sweep that would replay the sweep in every rank, with other
values than those of the job that is running.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started(run_dir: Path, checkpoint: Path | None, world_size: int) -> Iterator[None]:
    """Start ranks 1 … `world_size` - 1 of a run whose rank 0 is this process; they end with the block.

    Args:
        run_dir: holds config.yaml.
        checkpoint: to go on from.
        world_size: number of ranks; 1 starts nothing.
    """
    if world_size == 1:
        yield
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    command = [sys.executable, "-m", "convline.rank_process", str(run_dir), str(checkpoint or "")]
    before = dict(os.environ)
    os.environ.update(address, LOCAL_RANK="0")
    others = [
        # a session of their own: Ctrl-C reaches rank 0 alone, which tells the others
        subprocess.Popen(command, env={**before, **address, "LOCAL_RANK": str(rank)}, start_new_session=True)
        for rank in range(1, world_size)
    ]
    try:
        yield
        for process in others:
            process.wait(timeout=60)
    finally:
        for process in others:
            process.kill()
            process.wait()
        os.environ.clear()
        os.environ.update(before)
