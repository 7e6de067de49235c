"""Sweeps on a Ray cluster of two nodes: a killed process, a killed node or a killed command loses no job."""

import csv
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from convline.records import lock
from convline.records.directory import read_status, read_summary
from support import services
from support.commands import Running, assert_one_screen, train, wait_for
from support.searching import SEARCH, trial_dirs
from support.sweeping import TINY, job_dirs, states

SLEEPY = "+callbacks.slow={_target_: support.failing.Sleep, seed: 1, seconds: 60, unless: awake}"
COUNTED = "+callbacks.count={_target_: support.failing.CountEpochs}"
PATHS = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])}


def on(cluster: object, *words: str) -> list[str]:
    return [*words, "hydra/launcher=ray", f"hydra.launcher.address={cluster.address}"]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_what_has_no_effect_or_does_not_answer_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="no Ray: pip install 'convline[ray]'")
    assert_one_screen(train(tmp_path, "-m", *TINY, "seed=0,1", "hydra/launcher=ray", "workers=2"), "workers=2", "Ray")
    address = f"hydra.launcher.address=127.0.0.1:{services.free_port()}"
    done = train(tmp_path, "-m", *TINY, "seed=0,1", "hydra/launcher=ray", address)
    assert_one_screen(done, address, "ray start --head")


@pytest.mark.slow
def test_a_sweep_on_two_nodes(tmp_path: Path) -> None:
    with services.ray_cluster() as cluster:
        done = Running(on(cluster, "-m", *TINY, "optimizer.lr=0.1,1e30,0.01"), tmp_path).wait(200)
    assert done.status == 1, done.out + done.err
    assert states(tmp_path) == ["finished", "failed", "finished"]
    assert "1 failed of 3 jobs" in done.err
    assert "failed: optimizer.lr=1e+30" in done.out + done.err
    assert "finished: optimizer.lr=0.01" in done.out


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["process", "node"])
def test_a_job_goes_on_when_its_process_or_its_node_is_killed(killed: str, tmp_path: Path) -> None:
    with services.ray_cluster() as cluster:
        words = on(cluster, "-m", *TINY, "trainer.max_epochs=2", "seed=0,1,2,3", SLEEPY, COUNTED)
        running = Running(words, tmp_path, environment=PATHS)
        wait_for(lambda: any((tmp_path / "runs").glob("*/seed=1/asleep")), "job of seed 1", 150)
        pid = lock.holder_pid(job_dirs(tmp_path)[1])
        assert pid not in (None, running.process.pid)
        (tmp_path / "awake").touch()
        nodes = [node for node in cluster.worker_nodes if is_ancestor(raylet_pid(node), pid)]
        if killed == "process" or not nodes:  # the head node holds the cluster's state, and cannot be lost
            os.kill(pid, signal.SIGKILL)
        else:
            cluster.remove_node(nodes[0], allow_graceful=False)
        done = running.wait(200)
    assert done.status == 0, done.out + done.err
    assert "a process of Ray died" in done.err
    assert states(tmp_path) == ["finished"] * 4
    # the killed job slept before its first epoch: each epoch of each job was begun once
    assert all((path / "epochs.txt").read_text().split() == ["0", "1"] for path in job_dirs(tmp_path))
    (table,) = (tmp_path / "runs").glob("*/report.csv")
    (row,) = csv.DictReader(table.open())
    assert row["seeds"] == "0 1 2 3"


def raylet_pid(node: object) -> int:
    return node.all_processes["raylet"][0].process.pid  # type: ignore[attr-defined]


def is_ancestor(ancestor: int, pid: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


@pytest.mark.slow
def test_a_search_whose_process_is_killed(tmp_path: Path) -> None:
    slow = "+callbacks.slow={_target_: support.failing.SleepInTrial, number: 1, seconds: 60, unless: awake}"
    with services.ray_cluster() as cluster:
        words = on(cluster, *SEARCH, "sweep.trials=4", "workers=2", slow)
        running = Running(words, tmp_path, environment=PATHS)
        wait_for(lambda: any((tmp_path / "runs").glob("*/001,*/asleep")), "second trial", 150)
        (killed,) = (tmp_path / "runs").glob("*/001,*")
        pid = lock.holder_pid(killed)
        assert pid not in (None, running.process.pid)
        (tmp_path / "awake").touch()
        os.kill(pid, signal.SIGKILL)
        done = running.wait(200)
    assert done.status == 0, done.out + done.err
    assert [int(path.name[:3]) for path in trial_dirs(tmp_path)] == [0, 1, 2, 3]
    assert {read_status(path) for path in trial_dirs(tmp_path)} == {"finished"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_is_killed_twenty_times_on_ray(tmp_path: Path) -> None:
    draws, num_kills = random.Random(0), Counter[str]()
    begun = 0
    with services.ray_cluster() as cluster:
        words = on(cluster, "-m", *TINY, "trainer.max_epochs=3", "optimizer.lr=0.1,0.03,0.01", "seed=0,1,2", COUNTED)
        running = Running(words, tmp_path, environment=PATHS)
        for _ in range(20):
            # by what has happened, since a busy machine may not have begun after any number of seconds
            end = time.monotonic() + 90
            while num_epochs(tmp_path) <= begun and running.process.is_alive():
                assert time.monotonic() < end
                running.process.join(0.02)
            begun = num_epochs(tmp_path)
            running.process.join(draws.uniform(0, 0.5))
            pids = [
                pid for path in (tmp_path / "runs").glob("*/*/config.yaml") if (pid := lock.holder_pid(path.parent))
            ]
            if not running.process.is_alive():
                break
            if pids and draws.random() < 0.6:
                with suppress(ProcessLookupError):
                    os.kill(draws.choice(pids), signal.SIGKILL)
                    num_kills["process"] += 1
            else:
                running.process.kill()
                running.process.join()
                num_kills["command"] += 1
                running = Running(words, tmp_path, environment=PATHS)
        running.wait(200)
        done = Running(words, tmp_path, environment=PATHS).wait(200)  # tries again what its kills made fail
    assert done.status == 0, done.out + done.err
    assert num_kills["process"] >= 3, num_kills
    assert num_kills["command"] >= 3, num_kills
    assert states(tmp_path) == ["finished"] * 9
    epochs = {path.name: list(map(int, (path / "epochs.txt").read_text().split())) for path in job_dirs(tmp_path)}
    assert all(set(numbers) == {0, 1, 2} and numbers == sorted(numbers) for numbers in epochs.values()), epochs
    # an epoch begins again only after a kill, which ends two jobs at most
    assert sum(map(len, epochs.values())) <= 27 + 2 * num_kills.total()
    assert len([path for path in (tmp_path / "runs").iterdir() if path.is_dir()]) == 1
    (table,) = (tmp_path / "runs").glob("*/report.csv")
    assert [row["seeds"] for row in csv.DictReader(table.open())] == ["0 1 2"] * 3
    assert all("metrics" in read_summary(path) for path in job_dirs(tmp_path))


def num_epochs(folder: Path) -> int:
    """That were begun in any job."""
    return sum(len(file.read_text().split()) for file in folder.glob("runs/*/*/epochs.txt"))
