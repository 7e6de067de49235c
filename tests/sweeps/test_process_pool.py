"""Jobs side by side, and data-parallel jobs within a sweep."""

import json
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from convline.config import load_config
from convline.records import lock
from convline.records.directory import read_summary, update_summary
from convline.sweeps.process_pool import ProcessPool, environments
from support.commands import SMALL, Running, train, wait_for
from support.run_files import weights
from support.sweeping import TINY, job_dirs, states, trained


def test_workers_share_the_cores_and_get_cards_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert environments(4, devices=1, num_cores=16, gpus=["0", "1"]) == [
        {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": "0"},
        {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": "1"},
        {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": "0"},
        {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": "1"},
    ]
    assert environments(2, devices=2, num_cores=2, gpus=list("4567")) == [
        {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "4,5"},
        {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "6,7"},
    ]
    assert environments(1, devices=1, num_cores=8, gpus=[]) == [{"OMP_NUM_THREADS": "8"}]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert environments(1, devices=1, num_cores=8, gpus=[]) == [{"OMP_NUM_THREADS": "2"}]


@pytest.mark.slow
def test_two_workers_survive_a_job_that_fails_and_one_whose_process_is_killed(tmp_path: Path) -> None:
    words = [
        "-m",
        *TINY,
        "workers=2",
        "seed=range(6)",
        "+callbacks.raise={_target_: support.failing.RaiseIn, seed: 1, error: MemoryError, text: no memory}",
        "+callbacks.slow={_target_: support.failing.Sleep, seed: 2, seconds: 60, unless: awake}",
    ]
    running = Running(words, tmp_path)
    wait_for(lambda: any((tmp_path / "runs").glob("*/seed=2/asleep")))
    pid = lock.holder_pid(job_dirs(tmp_path)[2])
    assert pid not in (None, running.process.pid)
    os.kill(pid, signal.SIGKILL)
    done = running.wait()
    assert done.status == 1
    assert states(tmp_path) == ["finished", "failed", "failed", "finished", "finished", "finished"]
    assert "2 failed of 6 jobs" in done.err
    assert "its process was killed (SIGKILL)" in done.err
    assert "no memory" in done.err
    assert "epoch " not in done.out  # what jobs say is in their logs
    assert "epoch   1/1" in (job_dirs(tmp_path)[0] / "log.txt").read_text()
    (tmp_path / "awake").touch()
    again = train(tmp_path, *words, "workers=1")
    assert len(trained(again)) == 2
    assert states(tmp_path)[2] == "finished"


def first_worker(running: Running) -> int:
    """The process of the first worker that a command has started."""
    found: list[int] = []

    def look() -> bool:
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                if (
                    parent == running.process.pid
                    and b"convline.sweeps.process_pool_worker" in (path / "cmdline").read_bytes()
                ):
                    found.append(int(path.name))
        return bool(found)

    wait_for(look)
    return found[0]


@pytest.mark.slow
def test_a_worker_that_is_killed_before_it_has_a_job_is_replaced(tmp_path: Path) -> None:
    running = Running(["-m", *TINY, "workers=2", "seed=0,1"], tmp_path)
    os.kill(first_worker(running), signal.SIGKILL)
    done = running.wait()
    assert done.status == 0, done.err
    assert states(tmp_path) == ["finished", "finished"]


@pytest.mark.slow
def test_ctrl_c_while_the_workers_start_is_an_interruption(tmp_path: Path) -> None:
    running = Running(["-m", *TINY, "workers=3", "seed=0,1,2"], tmp_path)
    first_worker(running)
    os.kill(running.process.pid, signal.SIGINT)
    done = running.wait()
    assert done.status == 130
    assert "to go on, type: python train.py -m" in done.err


@pytest.mark.parametrize(("state", "wanted"), [("finished", "finished"), ("running", "failed")])
def test_a_job_that_has_ended_is_not_lost_with_its_process(state: str, wanted: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "seed=0"
    run_dir.mkdir()
    dead = subprocess.Popen(["sleep", "60"])
    dead.kill()
    dead.wait()
    (run_dir / lock.HEARTBEAT).write_text(json.dumps({"host": socket.gethostname(), "pid": dead.pid}))
    update_summary(run_dir, status=state, swept=["seed=0"])
    assert ProcessPool(load_config())._record_lost_job(dead, tmp_path) == (wanted == "failed")
    assert read_summary(run_dir)["status"] == wanted


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ranks_of_a_job_get_its_values_and_nothing_else(workers: int, tmp_path: Path) -> None:
    plain = [word for word in SMALL if not word.startswith(("data.batch_size", "trainer.max_epochs"))]
    words = [*plain, "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=1", "data.batch_size=8"]
    rate = "+callbacks.ranks={_target_: support.failing.WriteRank}"
    done = Running(["-m", *words, "optimizer.lr=0.1,0.001", f"workers={workers}", rate], tmp_path).wait()
    assert done.status == 0, done.err + done.out
    for run_dir, wanted in zip(job_dirs(tmp_path), (0.1, 0.001), strict=True):
        assert OmegaConf.load(run_dir / "config.yaml").optimizer.lr == wanted
        told = sorted(path.read_text() for path in run_dir.glob("rank-*.txt"))
        assert told == [f"rank {rank} of 2, {wanted}, {run_dir.name}" for rank in (0, 1)]
    fast, slow = map(weights, job_dirs(tmp_path))
    assert not torch.equal(fast["network.fc1.weight"], slow["network.fc1.weight"])
    assert not list(tmp_path.glob("runs/*/*/rank-error.txt"))


@pytest.mark.slow
def test_a_rank_that_fails_tells_its_job_why(tmp_path: Path) -> None:
    words = [*SMALL, "trainer=ddp", "trainer.accelerator=cpu", "data.batch_size=8", "optimizer.lr=1e30"]
    done = train(tmp_path, "-m", *words)
    assert done.status == 1
    (run_dir,) = job_dirs(tmp_path)
    assert read_summary(run_dir)["error"].startswith(("the loss became", "the weights are no longer"))
