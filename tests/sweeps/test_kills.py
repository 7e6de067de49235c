"""A sweep that is killed again and again loses nothing, does nothing twice, and ends as if it had never been killed."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from convline.records.directory import read_status, read_summary
from support.commands import SMALL, Running, train
from support.run_files import weights
from support.sweeping import job_dirs, trained

NUM_KILLS = 20
NUM_EPOCHS = 3
SWEEP = [
    "-m",
    *SMALL,
    f"trainer.max_epochs={NUM_EPOCHS}",
    "optimizer.lr=0.1,0.01,0.003",
    "seed=0,1,2",
    "logger=csv",
    "+callbacks.count={_target_: support.failing.CountEpochs}",
]


@pytest.mark.slow
def test_killed_twenty_times_and_gone_on_with(tmp_path: Path) -> None:
    draws = random.Random(0)
    deaths, finished = 0, Counter[str]()
    for _ in range(NUM_KILLS):
        running = Running(SWEEP, tmp_path)
        # by what has happened, not by the clock alone: on a busy machine a second may be over before anything has begun
        epochs = num_epochs(tmp_path) + draws.randint(0, 2)
        while running.process.is_alive() and num_epochs(tmp_path) < epochs:
            running.process.join(0.02)
        running.process.join(draws.uniform(0, 0.3))
        deaths += running.process.is_alive()
        running.process.kill()
        running.process.join()
        if any((tmp_path / "runs").glob("*/sweep.json")):
            finished.update(path.name for path in job_dirs(tmp_path) if status(path) == "finished")
    done = Running(SWEEP, tmp_path).wait()
    assert done.status == 0, done.err
    assert deaths >= 15, "most of the rounds were to be killed, not to end by themselves"
    assert len(finished) > 1, "some jobs were to be finished between two kills"
    assert len([path for path in (tmp_path / "runs").iterdir() if path.is_dir()]) == 1
    for name in finished:
        assert not any(all(part in job for part in name.split(",")) for job in trained(done)), f"{name} was done twice"

    begun = {
        path.name: [int(line) for line in (path / "epochs.txt").read_text().split()] for path in job_dirs(tmp_path)
    }
    assert all(set(epochs) == set(range(NUM_EPOCHS)) for epochs in begun.values())
    # an epoch begins anew only after a kill, and no epoch that was saved ever does
    assert sum(map(len, begun.values())) <= 9 * NUM_EPOCHS + deaths
    assert all(epochs == sorted(epochs) for epochs in begun.values())

    assert train(tmp_path / "reference", *SWEEP).status == 0
    for one, other in zip(job_dirs(tmp_path / "reference"), job_dirs(tmp_path), strict=True):
        assert all(torch.equal(value, weights(other)[key]) for key, value in weights(one).items()), one.name
        assert read_summary(one)["metrics"] == read_summary(other)["metrics"]


def num_epochs(folder: Path) -> int:
    """That were begun in any job."""
    return sum(len(file.read_text().split()) for file in folder.glob("runs/*/*/epochs.txt"))


def status(run_dir: Path) -> str:
    return read_status(run_dir) if (run_dir / "summary.json").is_file() else "not laid out"
