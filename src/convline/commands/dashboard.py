"""Start TensorBoard on a folder of runs for `convline dashboard`."""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from convline.errors import UserError
from convline.formatting import train_command

# How many points of a series TensorBoard shows; its defaults are 10 pictures and 1,000 scalars.
SAMPLES = {"scalars": 10_000, "images": 100, "histograms": 100, "text": 100, "pr_curves": 100}


def show(runs: Path, port: int | None = None) -> None:
    """Serve a folder of runs on this machine only, print the address, and wait for Ctrl-C or SIGTERM.

    Args:
        runs: a run directory, or a folder with run directories at any depth; TensorBoard also shows later runs.
        port: port of the server; None: 6006 or the next free one; 0: any free one.
    Raises:
        UserError: there is no such folder, or the port is taken.
    """
    if not runs.is_dir():
        raise UserError(f"there is no folder {runs}.\n  Train something first: {train_command()}")
    address = _launch(runs, port)
    print(f"TensorBoard on {runs}: {address}\nCtrl-C ends it.", flush=True)
    stop = threading.Event()

    def handle(signum: int, frame: FrameType | None) -> None:
        stop.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handle)
    stop.wait()


def _launch(runs: Path, port: int | None) -> str:
    import absl.logging
    from tensorboard import program

    absl.logging.set_verbosity("error")  # no warning that TensorFlow is missing, which is not needed
    board = program.TensorBoard()
    samples = ",".join(f"{kind}={count}" for kind, count in SAMPLES.items())
    arguments = ["--logdir", str(runs), "--host", "127.0.0.1", "--port", "default" if port is None else str(port)]
    board.configure([sys.argv[0], *arguments, "--samples_per_plugin", samples, "--window_title", "Convline"])
    try:
        return str(board.launch())
    except program.TensorBoardServerException as error:
        remedy = "Type another port: convline dashboard --port 0"
        raise UserError(f"TensorBoard cannot start: {error.msg}\n  {remedy}") from error
