"""Sweeps on other people's servers: jobs through Slurm, studies in PostgreSQL."""

import os
import signal
import sys
from pathlib import Path

import optuna
import pytest

from convline.records import lock
from support import services
from support.commands import Running, wait_for
from support.searching import SEARCH, done_trials
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
        assert "1 failed of 2 jobs" in done.err


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
def test_a_study_in_postgresql_is_shared_by_processes_that_see_no_common_folder(tmp_path: Path) -> None:
    with services.postgresql() as url:
        words = [*SEARCH, "sweep.trials=5", f"sweep.storage={url}", "sweep/pruner=halving"]
        both = [Running(words, tmp_path / name) for name in ("one", "other")]
        done = [process.wait(200) for process in both]
        assert [one.status for one in done] == [0, 0], done[0].err + done[1].err
        (summary,) = optuna.get_all_study_summaries(url)
        trials = optuna.load_study(study_name=summary.study_name, storage=url).trials
        trials = [trial for trial in trials if "lost" not in trial.user_attrs]  # both may have asked for the last one
        assert len(trials) == 5
        assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
        assert sorted(done_trials(done[0]) + done_trials(done[1])) == [trial.number + 1 for trial in trials]
        assert len({str(trial.params) for trial in trials}) == 5
