"""A sweep in one command against one command for each of its runs, and what a job of it costs beside its training.

Whole commands as child processes. Both train the same eight networks on the same data, one after the other, and leave
the same directories; the sweep pays once for imports and for reading the data.
"""

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks import mnist
from benchmarks.measure import Comparison, Sample, Way, compare
from benchmarks.startup import ROOT, child

RATES = (0.2, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005)
NOTHING = ["trainer.max_epochs=1", *(f"trainer.limit_{part}_batches=1" for part in ("train", "val", "test")),
           "data.batch_size=1", "data.eval_batch_size=1"]  # fmt: skip


def compare_sweep(target: float, cost_target: float, num_rounds: int, num_epochs: int) -> Comparison:
    """Measure eight learning rates of LeNet both ways.

    Args:
        target: smallest ratio wanted.
        cost_target: most processor seconds that a job may cost beside its training; only said in the remarks.
        num_rounds: how often each way is measured.
        num_epochs: of each run.
    """
    source, words = mnist.settings()
    plain = ["model=lenet", *words, "trainer=cpu", f"trainer.max_epochs={num_epochs}"]
    ours = Way("one command", lambda: _sweep(plain))
    other = Way("a command for each", lambda: _one_by_one(plain))
    name = f"sweep of {len(RATES)} learning rates, LeNet, threads: {torch.get_num_threads()}"
    measured = compare(name, ours, other, "wall", "at least", target, num_rounds, warm_up=False)
    cost = _cost_of_a_job([*plain[:-1], *NOTHING])
    return measured.noted(
        threads=torch.get_num_threads(),
        data=source,
        epochs=num_epochs,
        processor_seconds_of_a_job_outside_training=cost,
        remark=f"beside its training a job costs {cost:.2f} s of processor time (target: at most {cost_target})",
    )


def _sweep(settings: list[str], rates: tuple[float, ...] = RATES) -> Sample:
    with tempfile.TemporaryDirectory() as folder:
        sample = child([*_train(folder), *settings, "-m", f"optimizer.lr={','.join(map(str, rates))}"])
        done = len(list(Path(folder).glob("*/*/predictions/test.npz")))
        assert done == len(rates), f"{done} of {len(rates)} jobs were done"
        return sample


def _one_by_one(settings: list[str]) -> Sample:
    with tempfile.TemporaryDirectory() as folder:
        samples = [child([*_train(folder), *settings, f"optimizer.lr={rate}"]) for rate in RATES]
    return Sample(sum(sample.cpu for sample in samples), sum(sample.wall for sample in samples))


def _cost_of_a_job(settings: list[str]) -> float:
    """Processor seconds that one more job adds to a sweep whose jobs train on one image."""
    return (_sweep(settings).cpu - _sweep(settings, RATES[:1]).cpu) / (len(RATES) - 1)


def _train(runs_dir: str) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), f"runs_dir={runs_dir}"]
