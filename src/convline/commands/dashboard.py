"""`convline dashboard`: TensorBoard on a folder of runs."""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from convline.errors import UserError

# How many points of each kind are kept: TensorBoard's own numbers show 10 pictures of a series and 1,000 points.
SAMPLES = {"scalars": 10_000, "images": 100, "histograms": 100, "text": 100, "pr_curves": 100}


def show(runs: Path, port: int | None = None) -> None:
    """Serve a folder of runs on this machine alone, print the address, and stay until Ctrl-C or SIGTERM.

    Args:
        runs: one run, or a folder with runs below it; new ones appear by themselves.
        port: None takes 6006 or the next one that is free, 0 any free one.
    Raises:
        UserError: there is no such folder, or the port is taken.
    """
    if not runs.is_dir():
        raise UserError(f"there is no folder {runs}.\n  Train something first: python train.py")
    address = _serve(runs, port)
    print(f"TensorBoard on {runs}: {address}\nCtrl-C ends it.", flush=True)
    ended = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        ended.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, end)
    ended.wait()


def _serve(runs: Path, port: int | None) -> str:
    import absl.logging
    from tensorboard import program

    absl.logging.set_verbosity("error")  # it would say that TensorFlow is missing, which nothing here needs
    board = program.TensorBoard()
    samples = ",".join(f"{kind}={number}" for kind, number in SAMPLES.items())
    where = ["--logdir", str(runs), "--host", "127.0.0.1", "--port", "default" if port is None else str(port)]
    board.configure([sys.argv[0], *where, "--samples_per_plugin", samples, "--window_title", "Convline"])
    try:
        return str(board.launch())
    except program.TensorBoardServerException as error:
        remedy = "Type another port: convline dashboard --port 0"
        raise UserError(f"TensorBoard cannot start: {error.msg}\n  {remedy}") from error
