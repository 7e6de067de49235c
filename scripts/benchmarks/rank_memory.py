"""Memory of two ranks that train on images of one's own: one decoded array, which lies in memory once.

Each rank is sampled while it trains, from `smaps_rollup` of the Linux kernel. What a rank holds for itself is its
anonymous memory; the array is a file that both map, of which "Pss" counts half for each.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.startup import ROOT

SIDE = 256  # of the decoded images, in pixels
NUM_FILES = 50  # that differ; the others are links to them
SAMPLED = ("Rss", "Pss", "Private_Dirty", "Anonymous")
POLL_SECONDS = 0.5


@dataclass
class Measured:
    """Hold what one run has taken.

    Args:
        loader: `data.loader` of the run.
        array_bytes: size of the array of all decoded images.
        peaks: for each rank, the largest value of each of `SAMPLED`, in bytes; no two need be of one moment.
        num_arrays: arrays that the run has written.
    """

    loader: str
    array_bytes: int = 0
    peaks: dict[int, dict[str, int]] = field(default_factory=dict)
    num_arrays: int = 0


def measure_rank_memory(num_images: int) -> list[Measured]:
    """Measure a run that decodes the images, resident, and a second one, with workers.

    Args:
        num_images: images in the folder, of 192 KiB each when they are decoded.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_images(folder / "images", num_images)
        return [_measure(folder, loader) for loader in ("resident", "dataloader")]


def show_rank_memory(measurements: list[Measured]) -> None:
    """Print the measured memory as a table."""
    table = Table("MiB", "array", "arrays written", "rank", *SAMPLED)
    for measured in measurements:
        for rank, peaks in measured.peaks.items():
            shown = [f"{value / 2**20:,.0f}" for value in (measured.array_bytes, *peaks.values())]
            table.add_row(measured.loader, shown[0], str(measured.num_arrays), str(rank), *shown[1:])
    Console().print(table)


def _make_images(folder: Path, num_images: int) -> None:
    rng = np.random.default_rng(0)
    for index in range(num_images):
        path = folder / "ab"[index % 2] / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index < NUM_FILES:
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
        else:
            os.link(folder / "ab"[index % 2] / f"{index % NUM_FILES}.jpg", path)


def _measure(folder: Path, loader: str) -> Measured:
    """Train an epoch on two ranks, and sample them until the run has ended."""
    command = [
        sys.executable, str(ROOT / "train.py"), "data=folder", f"data.root={folder / 'images'}",
        f"data.image_size={SIDE}", "model.pattern='CONV(4, 8, stride=8) -> RELU -> POOL(4) -> FC'",
        "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.devices=2", "callbacks=plain", "threads=1",
        f"data.loader={loader}", f"runs_dir={folder / loader}",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CONVLINE_CACHE": str(folder / "cache")}
    measured, written = Measured(loader), set[int]()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            for rank, pid in _ranks(folder / loader).items():
                peaks = measured.peaks.setdefault(rank, dict.fromkeys(SAMPLED, 0))
                for key, value in _memory(pid).items():
                    peaks[key] = max(peaks[key], value)
            written |= {path.stat().st_ino for path in (folder / "cache").rglob("*.npy.tmp")}
            time.sleep(POLL_SECONDS)
    finally:
        process.kill()
    if process.returncode:
        raise RuntimeError(f"the run ended with status {process.returncode}")
    measured.num_arrays = len(written)
    (array,) = (folder / "cache").rglob("*.npy")
    measured.array_bytes = array.stat().st_size
    return measured


def _ranks(runs_dir: Path) -> dict[int, int]:
    """Return the process ids of the ranks that train below a folder, by rank."""
    ranks = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().split("\0")
            if "convline.run.rank_process" in words and words[-2].startswith(str(runs_dir)):
                variables = dict(line.split("=", 1) for line in (process / "environ").read_text().split("\0") if line)
                ranks[int(variables["RANK"])] = int(process.name)
        except OSError:  # it has ended
            continue
    return dict(sorted(ranks.items()))


def _memory(pid: int) -> dict[str, int]:
    """Return the sampled values of a process, in bytes; nothing if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    values = dict(line.split(":") for line in lines)
    return {key: 1024 * int(values[key].split()[0]) for key in SAMPLED}
