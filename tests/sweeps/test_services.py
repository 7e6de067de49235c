"""Sweeps on other people's servers: jobs through Slurm, studies in PostgreSQL."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from convline.records import lock
from support import services
from support.commands import ROOT, Running, assert_one_screen, shell, wait_for
from support.run_files import summary
from support.searching import SEARCH, done_trials, trial_dirs
from support.sweeping import TINY, job_dirs, states


@pytest.mark.slow
def test_slurm_does_jobs(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="no submitit: pip install 'convline[slurm]'")
    words = ["-m", *TINY, "hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
    words += ["optimizer.lr=0.1,1e30"]
    with services.slurm() as environment:
        done = Running(words, tmp_path, environment=environment).wait(200)
        assert done.status == 1, done.err
        assert states(tmp_path) == ["finished", "failed"]
        assert "── failed: optimizer.lr=1e+30" in done.err
        assert done.err.count("Slurm keeps no accounting") == 1
        assert "sacct" not in done.err
        assert "1 failed of 2 jobs" in done.err


@pytest.mark.parametrize("key", ["tasks_per_node", "nodes"])
def test_tasks_that_would_idle_are_refused(key: str, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="no submitit: pip install 'convline[slurm]'")
    words = ["-m", *TINY, "hydra/launcher=submitit_slurm", f"hydra.launcher.{key}=2", "seed=0,1"]
    done = Running(words, tmp_path).wait()
    assert_one_screen(done, f"hydra.launcher.{key}=2: a job is one task on one node", "trainer.devices=2")
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.slow
def test_jobs_of_slurm_go_on_after_ctrl_c_and_are_queued_again_by_the_signal_before_the_limit(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="no submitit: pip install 'convline[slurm]'")
    slow = "+callbacks.slow={_target_: support.failing.SlowSteps, seconds: 0.2}"
    words = ["-m", *TINY, "hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
    words += ["hydra.launcher.max_num_timeout=3", "trainer.max_epochs=3", slow, "seed=0"]
    paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])}
    with services.slurm() as environment:
        running = Running(words, tmp_path, environment={**environment, **paths})
        wait_for(lambda: any(tmp_path.glob("runs/*/*/checkpoints/last.ckpt")), seconds=120)
        os.kill(running.process.pid, signal.SIGINT)
        done = running.wait(60)
        assert done.status == 130, done.err
        (job,) = re.findall(r"Its jobs go on in Slurm. To end them, type: scancel (\d+)\n", done.err)
        assert "interrupted; to go on, type: python train.py -m" in done.err
        assert done.err.count("Slurm keeps no accounting") == 1
        assert "sacct" not in done.err
        assert states(tmp_path) == ["running"]
        (run_dir,) = job_dirs(tmp_path)
        shell("scancel", "--signal=USR2", job, **environment)
        wait_for(lambda: states(tmp_path) == ["interrupted"])
        assert summary(run_dir)["error"] == "stopped by SIGUSR2, which a scheduler sends before the time limit"

        def begins_again() -> bool:
            shell("scontrol", "update", f"JobId={job}_0", "StartTime=now", **environment)  # instead of in two minutes
            return states(tmp_path) == ["finished"]

        wait_for(begins_again, seconds=150)
        assert "Going on from" in (run_dir / "log.txt").read_text()


@pytest.mark.slow
def test_submitit_does_jobs_on_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="no submitit: pip install 'convline[slurm]'")
    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1"]
    slow = "+callbacks.slow={_target_: support.failing.Sleep, seed: 1, seconds: 60, unless: awake}"
    paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])}
    running = Running(["-m", *TINY, *launcher, "seed=0,1", slow], tmp_path, environment=paths)
    wait_for(lambda: any((tmp_path / "runs").glob("*/seed=1/asleep")))
    pid = lock.holder_pid(job_dirs(tmp_path)[1])
    assert pid not in (None, running.process.pid)
    (tmp_path / "awake").touch()
    os.kill(pid, signal.SIGKILL)  # its node, perhaps
    done = running.wait(200)
    assert done.status == 0, done.err + done.out
    assert "the launcher says" in done.err
    assert states(tmp_path) == ["finished", "finished"]


@pytest.mark.slow
def test_joblib_goes_on_when_its_pool_breaks(tmp_path: Path) -> None:
    reason = "no joblib launcher: pip install 'convline[joblib]'"
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason=reason)
    slow = "+callbacks.slow={_target_: support.failing.Sleep, seed: 1, seconds: 60, unless: awake}"
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])}
    # a program of its own: loky's processes would be children of the process from which the tests fork
    words = [sys.executable, str(ROOT / "train.py"), "-m", *TINY, *launcher, "seed=0,1,2", slow]
    with open(tmp_path / "err.txt", "w") as err:
        process = subprocess.Popen(words, cwd=tmp_path, env={**os.environ, **paths}, stdout=err, stderr=err)
    try:
        wait_for(lambda: any((tmp_path / "runs").glob("*/seed=1/asleep")), "job of seed 1", 150)
        pid = lock.holder_pid(job_dirs(tmp_path)[1])
        assert pid not in (None, process.pid)
        (tmp_path / "awake").touch()
        os.kill(pid, signal.SIGKILL)
        assert process.wait(150) == 0
    finally:
        process.kill()
        process.wait()
    assert "the launcher says" in (tmp_path / "err.txt").read_text()
    assert states(tmp_path) == ["finished"] * 3


@pytest.mark.slow
def test_a_study_in_postgresql_is_shared_by_processes_that_see_no_common_folder(tmp_path: Path) -> None:
    with services.postgresql() as url:
        words = [*SEARCH, "sweep.trials=5", f"sweep.storage={url}", "sweep/pruner=halving"]
        both = [Running(words, tmp_path / name) for name in ("one", "other")]
        done = [process.wait(200) for process in both]
        assert [one.status for one in done] == [0, 0], done[0].err + done[1].err
        (study,) = optuna.get_all_study_summaries(url)
        trials = optuna.load_study(study_name=study.study_name, storage=url).trials
        trials = [trial for trial in trials if "lost" not in trial.user_attrs]  # both may have asked for the last one
        assert len(trials) == 5
        assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
        assert sorted(done_trials(done[0]) + done_trials(done[1])) == [trial.number + 1 for trial in trials]
        assert len({str(trial.params) for trial in trials}) == 5
        # each folder's report shows the whole study, also when the other folder is gone
        own = {name: {path.name for path in trial_dirs(tmp_path / name)} for name in ("one", "other")}
        shutil.rmtree(tmp_path / "other" / "runs")
        again = Running(words, tmp_path / "one").wait(200)
        assert again.status == 0, again.err
        for text, name in ((done[1].out, "other"), (again.out, "one")):
            assert f"Trained in other folders, and shown from the study: {5 - len(own[name])} run" in text
        (table,) = (tmp_path / "one" / "runs").glob("*/report.csv")
        rows = list(csv.DictReader(table.open()))
        complete = {trial.number: trial for trial in trials if trial.state.name == "COMPLETE"}
        finished = {Path(row["runs"]).name: row for row in rows if row["statuses"] == "finished:1"}
        assert sorted(int(name[:3]) for name in finished) == sorted(complete)
        for name, row in finished.items():
            trial = complete[int(name[:3])]
            assert float(row["val/acc"]) == trial.values[0]
            assert float(row["optimizer.lr"]) == trial.params["optimizer.lr"]
            assert (":" in row["runs"]) == (name not in own["one"])
