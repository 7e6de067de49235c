"""Start TensorBoard on a folder of runs for `convline dashboard`."""

import os
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
        UserError: there is no such folder, the port is taken, or a link in the folder leads to a folder above it.
    """
    if not runs.is_dir():
        raise UserError(f"there is no folder {runs}.\n  Train something first: {train_command()}")
    if loop := find_loop(runs):
        raise UserError(
            f"{loop} is a link to a folder above it, which TensorBoard would follow for ever.\n"
            "  Take the link away, or name a folder without it: convline dashboard FOLDER"
        )
    address = _launch(runs, port)
    print(f"TensorBoard on {runs}: {address}\nCtrl-C ends it.", flush=True)
    stop = threading.Event()

    def handle(signum: int, frame: FrameType | None) -> None:
        stop.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handle)
    stop.wait()


def find_loop(folder: Path) -> Path | None:
    """Return a link below a folder that leads to a folder above itself, directly or by other links; None without."""
    above: set[tuple[int, int]] = set()
    done: set[tuple[int, int]] = set()

    def search(path: Path) -> Path | None:
        try:
            status = path.stat()
            entries = sorted(entry.path for entry in os.scandir(path) if os.path.isdir(entry.path))
        except OSError:  # a folder that cannot be read, into which TensorBoard does not go either
            return None
        identity = status.st_dev, status.st_ino
        if identity in above:
            return path
        if identity in done:
            return None
        above.add(identity)
        found = next(filter(None, (search(Path(entry)) for entry in entries)), None)
        above.discard(identity)
        done.add(identity)
        return found

    return search(folder)


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
