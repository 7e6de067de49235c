"""Runs in a Slurm of one node: tasks that are ranks, tasks that are runs; killed, queued again, out of time."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from convline.records.directory import read_summary
from support import services
from support.commands import ROOT, SMALL, Done, convline, run_dirs, shell, train, wait_for
from support.run_files import curves, weights, without_the_kill

pytestmark = pytest.mark.slow
PLAIN = [word for word in SMALL if not word.startswith("model.pattern")]
SLOW = "+callbacks.slow={_target_: support.failing.SlowSteps, seconds: 0.15}"


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """The environment of a Slurm."""
    with services.slurm() as environment:
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
        yield {**environment, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two ranks without Slurm."""
    folder = tmp_path_factory.mktemp("two")
    assert train(folder, *SMALL, "trainer.devices=2").status == 0
    return run_dirs(folder)[0]


def srun(folder: Path, environment: dict[str, str], *words: str, tasks: int = 2) -> Done:
    """`srun -n TASKS python train.py WORDS` in `folder`."""
    command = ["srun", "--overcommit", "-n", str(tasks), sys.executable, str(ROOT / "train.py"), *words]
    return shell(*command, cwd=folder, timeout=240, **environment)


def same_weights(one: Path, other: Path) -> bool:
    left, right = weights(one), weights(other)
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_two_tasks_are_one_run_on_two_ranks(slurm: dict[str, str], two_ranks: Path, tmp_path: Path) -> None:
    done = srun(tmp_path, slurm, *SMALL, "trainer.devices=2")
    assert done.status == 0, done.err
    assert done.out.count("writing to") == 1
    (run_dir,) = run_dirs(tmp_path)
    assert same_weights(run_dir, two_ranks)
    assert curves(run_dir) == curves(two_ranks)


def test_two_tasks_are_two_runs_that_keep_their_metrics(slurm: dict[str, str], tmp_path: Path) -> None:
    script = f'exec {sys.executable} {ROOT / "train.py"} "$@" seed=$SLURM_PROCID'
    done = shell("srun", "-n", "2", "bash", "-c", script, "bash", *PLAIN, cwd=tmp_path, timeout=240, **slurm)
    assert done.status == 0, done.err
    assert len(run_dirs(tmp_path)) == 2
    for run_dir in run_dirs(tmp_path):
        assert read_summary(run_dir)["status"] == "finished"
        assert len(curves(run_dir)) > 1
        assert list(run_dir.glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("words", "tasks", "expected"),
    [
        (["trainer.devices=2", "optimizer.lr=abc"], 2, "optimizer.lr"),
        (["trainer.devices=2"], 3, "srun has started 3 tasks, but the settings ask for 2 processes"),
        (["trainer.devices=2", "data.batch_size=1"], 2, "data.batch_size=1 leaves a rank without images"),
    ],
)
def test_a_mistake_is_one_screen(
    words: list[str], tasks: int, expected: str, slurm: dict[str, str], tmp_path: Path
) -> None:
    done = srun(tmp_path, slurm, *PLAIN, *words, tasks=tasks)
    assert done.status == 1
    assert done.err.count("error: ") == 1 + done.err.count("srun: error: "), done.err
    assert expected in done.err
    assert done.err.count("Exited with exit code 1") >= 1  # of all tasks: "task 0: Exited", "tasks 0-1: Exited"
    assert not list(tmp_path.glob("runs/*/config.yaml"))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_task_ends_the_other(rank: int, slurm: dict[str, str], two_ranks: Path, tmp_path: Path) -> None:
    kill = f"+callbacks.kill={{_target_: support.kill_at.KillRankAt, rank: {rank}, step: 40}}"
    done = srun(tmp_path, slurm, *SMALL, "trainer.devices=2", kill, "callbacks.checkpoint.every_n_steps=7")
    assert done.status != 0
    assert "Killed" in done.err
    (run_dir,) = run_dirs(tmp_path)
    assert read_summary(run_dir)["status"] == ("failed" if rank else "running")
    without_the_kill(run_dir)
    assert srun(tmp_path, slurm, f"resume={run_dir}").status == 0
    assert same_weights(run_dir, two_ranks)


def submit(folder: Path, environment: dict[str, str], *words: str) -> str:
    """Submit what `convline slurm WORDS` writes, as it stands; return the number of the job."""
    written = convline(folder, "slurm", *words, "--output", "job.sh")
    assert written.status == 0, written.err
    done = shell("sbatch", "--parsable", "job.sh", cwd=folder, **environment)
    assert done.status == 0, done.err
    return done.out.strip()


def state_of(job: str, environment: dict[str, str]) -> str:
    """The state of a job: "COMPLETED", "FAILED", "RUNNING", "PENDING"."""
    text = shell("scontrol", "show", "job", job, **environment).out
    return text.partition("JobState=")[2].split()[0]


def wait_for_end(job: str, environment: dict[str, str]) -> None:
    """Wait until a job and its array have ended; one that was queued again begins at once instead of in two minutes."""
    end = time.monotonic() + 200
    while state := shell("squeue", "--noheader", "--array", "--format=%i %T", "--jobs", job, **environment).out:
        assert time.monotonic() < end, state
        for line in state.splitlines():
            name, status = line.split()
            if status == "PENDING":
                shell("scontrol", "update", f"JobId={name}", "StartTime=now", **environment)
        time.sleep(0.5)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_job_that_is_queued_again_goes_on(
    devices: int, slurm: dict[str, str], two_ranks: Path, tmp_path: Path
) -> None:
    reference = two_ranks
    if devices == 1:
        assert train(tmp_path / "whole", *SMALL).status == 0
        (reference,) = run_dirs(tmp_path / "whole")
    folder = tmp_path / "job"
    folder.mkdir()
    job = submit(folder, slurm, *SMALL, SLOW, f"trainer.devices={devices}", "--time", "10")
    wait_for(lambda: list(folder.glob("runs/*/checkpoints/last.ckpt")), seconds=120)
    assert shell("scontrol", "requeue", job, **slurm).status == 0
    wait_for_end(job, slurm)
    assert state_of(job, slurm) == "COMPLETED"
    (run_dir,) = run_dirs(folder)
    output = (folder / f"slurm-{job}.out").read_text()
    assert "Going on from" in output, output
    assert curves(run_dir) == curves(reference)
    assert same_weights(run_dir, reference)


@pytest.mark.parametrize("devices", [1, 2])
def test_the_signal_before_the_time_limit_saves_and_queues_the_job_again(
    devices: int, slurm: dict[str, str], two_ranks: Path, tmp_path: Path
) -> None:
    job = submit(tmp_path, slurm, *SMALL, SLOW, f"trainer.devices={devices}", "--time", "10", "--cpus", "1")
    wait_for(lambda: list(tmp_path.glob("runs/*/checkpoints/last.ckpt")), seconds=120)
    (run_dir,) = run_dirs(tmp_path)
    shell("scancel", "--signal=USR1", job, **slurm)  # which `#SBATCH --signal` sends; a limit is a minute at least
    wait_for(lambda: read_summary(run_dir)["status"] == "interrupted", seconds=60)
    assert read_summary(run_dir)["error"] == "stopped by SIGUSR1, which a scheduler sends before the time limit"
    wait_for_end(job, slurm)
    assert read_summary(run_dir)["status"] == "finished"
    output = (tmp_path / f"slurm-{job}.out").read_text()
    assert "stopped by SIGUSR1, which a scheduler sends before the time limit; to go on, type: " in output
    assert "Going on from" in output
    if devices == 2:
        assert same_weights(run_dir, two_ranks)


def test_an_array_is_a_run_for_each_seed(slurm: dict[str, str], tmp_path: Path) -> None:
    job = submit(tmp_path, slurm, *PLAIN, "trainer.max_epochs=1", "--array", "3,5", "--time", "10")
    wait_for_end(job, slurm)
    summaries = [(path / "config.yaml").read_text() for path in run_dirs(tmp_path)]
    assert sorted(seed for text in summaries for seed in (3, 5) if f"\nseed: {seed}\n" in text) == [3, 5]
    assert {read_summary(path)["status"] for path in run_dirs(tmp_path)} == {"finished"}
