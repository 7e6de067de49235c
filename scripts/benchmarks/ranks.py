"""Two ranks on one machine against one: the start of a command, and the time of its epochs.

The clock on the wall is compared, since two ranks use two cores, and each rank has one thread.
"""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Comparison, Sample, Way, compare
from benchmarks.startup import ROOT, child, train_command

RANKS = ["trainer.devices=2", "trainer.accelerator=cpu"]
BATCH_SIZE = 128
NUM_TRAIN = 10_800  # images that are left of 12,000 without those of validation


def compare_rank_startup(target: float, num_rounds: int) -> Comparison:
    """Measure `python train.py` to the end of its first step, on two ranks and on one.

    Args:
        target: largest ratio wanted.
        num_rounds: how often each is measured.
    """
    with tempfile.TemporaryDirectory() as folder:
        one = [*train_command(folder), "trainer.accelerator=cpu"]
        ours = Way("two ranks", lambda: child([*one, *RANKS]))
        other = Way("one rank", lambda: child(one))
        measured = compare("start-up of two ranks", ours, other, "wall", "at most", target, num_rounds)
    return measured.noted(threads=1, remark="the process that starts the ranks imports torch before they do")


def compare_rank_epochs(target: float, num_rounds: int) -> Comparison:
    """Measure the second epoch of LeNet on synthetic images of MNIST's size, on two ranks and on one.

    Args:
        target: smallest number of times that two ranks are to be as fast.
        num_rounds: how often each is measured.
    """
    ours = Way("two ranks", lambda: _second_epoch(RANKS))
    other = Way("one rank", lambda: _second_epoch(["trainer.accelerator=cpu"]))
    measured = compare("an epoch of two ranks", ours, other, "wall", "at least", target, num_rounds, warm_up=False)
    half = min(_second_epoch(["trainer.accelerator=cpu"], BATCH_SIZE // 2).wall for _ in range(num_rounds))
    step = min(sample.wall for sample in measured.our_samples) / -(-NUM_TRAIN // BATCH_SIZE)
    computation = half / -(-NUM_TRAIN // (BATCH_SIZE // 2))
    return measured.noted(
        threads=1,
        remark="LeNet, 12,000 synthetic images 1×28×28, batches of 128: 241 KiB of gradients a step by gloo; "
        f"by minima, a step of two ranks takes {1000 * step:.1f} ms, and the half of its images on one rank "
        f"{1000 * computation:.1f} ms: the rest is communication, and waiting for the other rank",
    )


def _second_epoch(words: list[str], batch_size: int = BATCH_SIZE) -> Sample:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, str(ROOT / "train.py"), "model=lenet", "data=synthetic", "data.image_size=28",
            "data.source.num_train=12000", f"data.batch_size={batch_size}", "trainer.max_epochs=2", "callbacks=plain",
            "threads=1", f"runs_dir={folder}", *words,
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
        (path,) = Path(folder).glob("*/metrics.csv")
        with open(path, newline="") as file:
            seconds = [float(row["seconds/epoch"]) for row in csv.DictReader(file) if row["seconds/epoch"]]
    return Sample(cpu=0.0, wall=seconds[-1])
