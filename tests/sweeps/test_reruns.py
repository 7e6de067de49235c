"""Grids that are gone on with, extended, done again, and shared by several processes."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from convline.records.directory import update_summary
from support.commands import SMALL, Running, run_dirs, train, wait_for
from support.run_files import weights
from support.sweeping import TINY, job_dirs, states, trained


class TestRerun:
    WORDS = ("-m", *TINY, "optimizer.lr=0.1,1e30,0.01")

    def test_the_same_command_skips_what_is_done_and_tries_again_what_failed(self, tmp_path: Path) -> None:
        train(tmp_path, *self.WORDS)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("lr=0.*/**/*") if path.is_file()}
        again = train(tmp_path, *self.WORDS, "trainer.log_every_n_steps=7")
        assert again.status == 1
        assert "3 jobs: 2 finished already, 1 to do" in again.out
        assert len(trained(again)) == 1
        assert "lr=1e+30" in trained(again)[0]
        assert before == {path: path.stat().st_mtime_ns for path in before}
        assert len(run_dirs(tmp_path)) == 3

    @pytest.mark.slow
    def test_none_leaves_failed_jobs_alone_and_all_begins_another_folder(self, tmp_path: Path) -> None:
        train(tmp_path, *self.WORDS)
        none = train(tmp_path, *self.WORDS, "rerun=none")
        assert none.status == 1
        assert trained(none) == []
        assert "2 finished already, 1 failed before" in none.out
        everything = train(tmp_path, *self.WORDS, "rerun=all")
        assert len(trained(everything)) == 3
        assert len(list((tmp_path / "runs").glob("*_sweep*"))) == 2
        newest = train(tmp_path, *self.WORDS, "rerun=none")
        assert trained(newest) == []
        assert len(run_dirs(tmp_path)) == 6

    @pytest.mark.slow
    def test_an_extended_grid_adds_only_what_is_new(self, tmp_path: Path) -> None:
        train(tmp_path, "-m", *TINY, "optimizer.lr=0.1,0.05")  # 0.05 is the default
        more = train(tmp_path, "-m", *TINY, "optimizer.lr=0.02,0.1,0.05")
        assert len(trained(more)) == 1
        other_key = train(tmp_path, "-m", *TINY, "seed=0,1")  # seed 0 is the job with the default rate
        assert "2 jobs: 1 finished already, 1 to do" in other_key.out
        assert len(list((tmp_path / "runs").glob("*_sweep*"))) == 1
        assert len(run_dirs(tmp_path)) == 4

    @pytest.mark.slow
    def test_another_grid_has_a_folder_of_its_own(self, tmp_path: Path) -> None:
        train(tmp_path, "-m", *TINY, "optimizer.lr=0.1,0.01")
        train(tmp_path, "-m", *TINY, "optimizer.lr=0.1,0.01", "data.batch_size=32")
        assert len(list((tmp_path / "runs").glob("*_sweep*"))) == 2
        assert len(run_dirs(tmp_path)) == 4

    @pytest.mark.slow
    def test_an_interrupted_job_goes_on_and_ends_as_if_it_had_never_stopped(self, tmp_path: Path) -> None:
        words = [*SMALL, "seed=0,1,2", "trainer.max_epochs=2"]
        assert train(tmp_path / "reference", "-m", *words).status == 0
        count = "+callbacks.stop={_target_: support.failing.StopOnce, seed: 1, step: 40, signum: 2}"
        stopped = train(tmp_path / "stopped", "-m", *words, count)
        assert stopped.status == 130
        assert "interrupted; to go on, type: python train.py -m" in stopped.err
        assert states(tmp_path / "stopped") == ["finished", "interrupted", "waiting"]
        assert stopped.out.count("waiting") == 1  # in the table of what is there
        again = train(tmp_path / "stopped", "-m", *words, count)
        assert again.status == 0, again.err
        assert "1 finished already, 1 to go on from the last checkpoint, 1 to do" in again.out
        for one, other in zip(job_dirs(tmp_path / "reference"), job_dirs(tmp_path / "stopped"), strict=True):
            assert all(torch.equal(value, weights(other)[key]) for key, value in weights(one).items())

    @pytest.mark.slow
    def test_another_version_of_the_code_begins_anew_or_is_taken_as_it_is(self, tmp_path: Path) -> None:
        words = ["-m", *TINY, "seed=0,1"]
        train(tmp_path, *words)
        for path in run_dirs(tmp_path):
            update_summary(path, identity="of another version")
        (folder,) = (tmp_path / "runs").glob("*_sweep")
        content = json.loads((folder / "sweep.json").read_text())
        for known in content["jobs"]:
            known["identity"] = "of another version"
        (folder / "sweep.json").write_text(json.dumps(content))
        taken = train(tmp_path, *words, "rerun=none")
        assert "2 jobs: 2 finished already" in taken.out
        anew = train(tmp_path, *words)
        assert "2 jobs were done by another version of the code" in anew.out
        assert "rerun=none takes them as they are" in anew.out
        assert len(trained(anew)) == 2
        assert len(run_dirs(tmp_path)) == 4

    @pytest.mark.slow
    def test_a_named_folder_that_holds_another_sweep_is_refused(self, tmp_path: Path) -> None:
        folder = "hydra.sweep.dir=runs/mine"
        assert train(tmp_path, "-m", *TINY, "seed=0,1", folder).status == 0
        again = train(tmp_path, "-m", *TINY, "seed=0,1,2", folder)
        assert len(trained(again)) == 1
        refused = train(tmp_path, "-m", *TINY, "seed=0,1", "data.batch_size=32", folder)
        assert refused.status == 1
        assert "runs/mine holds another sweep: its job seed=0 has data.batch_size=16, and this one 32" in refused.err
        assert len(run_dirs(tmp_path)) == 3

    @pytest.mark.slow
    def test_a_job_whose_config_was_edited_is_refused(self, tmp_path: Path) -> None:
        train(tmp_path, "-m", *TINY, "seed=0,1", "optimizer.lr=1e30", "hydra.sweep.dir=runs/mine")
        path = tmp_path / "runs" / "mine" / "seed=1" / "config.yaml"
        path.write_text(path.read_text().replace("batch_size: 16", "batch_size: 15"))
        refused = train(tmp_path, "-m", *TINY, "seed=0,1", "optimizer.lr=1e30", "hydra.sweep.dir=runs/mine")
        assert refused.status == 1
        assert "runs/mine/seed=1/config.yaml" in refused.err
        assert trained(refused) == []

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["summary.json", "config.yaml"])
    def test_a_damaged_job_is_named_with_its_remedy(self, name: str, tmp_path: Path) -> None:
        lr = "optimizer.lr=1e30"
        train(tmp_path, "-m", *TINY, lr)
        (path,) = job_dirs(tmp_path)
        (path / name).write_text("")
        refused = train(tmp_path, "-m", *TINY, lr)
        assert refused.status == 1
        assert f"a job of this sweep is damaged: {path.relative_to(tmp_path)} " in refused.err
        assert "remove that directory to begin the job anew" in refused.err
        shutil.rmtree(path)
        assert len(trained(train(tmp_path, "-m", *TINY, lr))) == 1

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["fail_fast=true"], "add -m"),
            (["sweep=lenet_lr"], "add -m"),
            (["-m", "seed=0,1", "workers=1,2"], "workers=1,2: a sweep has one value"),
            (["-m", "seed=0,1", "sweep.trials=5"], "add hydra/sweeper=search"),
            (["-m", "seed=0,1", "rerun=maybe"], "one of all, failed, none"),
        ],
        ids=str,
    )
    def test_settings_of_sweeps_are_refused_where_they_do_nothing(
        self, words: list[str], told: str, tmp_path: Path
    ) -> None:
        done = train(tmp_path, *TINY, *words)
        assert done.status == 1
        assert told in done.err


class TestSharing:
    @pytest.mark.slow
    def test_two_processes_share_the_jobs_of_one_sweep(self, tmp_path: Path) -> None:
        words = ["-m", *TINY, "trainer.limit_train_batches=30", "seed=range(6)"]
        both = [Running(words, tmp_path) for _ in range(2)]
        done = [process.wait() for process in both]
        assert [one.status for one in done] == [0, 0], done[0].err + done[1].err
        assert len(list((tmp_path / "runs").glob("*_sweep*"))) == 1
        jobs = [trained(one) for one in done]
        assert sorted(jobs[0] + jobs[1]) == sorted(set(jobs[0] + jobs[1]))
        assert len(jobs[0] + jobs[1]) == 6
        assert all(jobs), "one of them did everything"
        assert set(states(tmp_path)) == {"finished"}

    @pytest.mark.slow
    def test_different_sweeps_in_the_same_second_do_not_collide(self, tmp_path: Path) -> None:
        both = [Running(["-m", *TINY, "seed=0,1", f"data.batch_size={size}"], tmp_path) for size in (16, 32, 48)]
        assert [process.wait().status for process in both] == [0, 0, 0]
        assert len(list((tmp_path / "runs").glob("*_sweep*"))) == 3
        assert len(run_dirs(tmp_path)) == 6

    @pytest.mark.slow
    def test_a_job_of_a_process_that_dies_is_taken_over(self, tmp_path: Path) -> None:
        slow = "+callbacks.slow={_target_: support.failing.Sleep, seed: 0, seconds: 60, unless: awake}"
        words = ["-m", *TINY, "seed=0,1,2", slow]
        first = Running(words, tmp_path)
        wait_for(lambda: any((tmp_path / "runs").glob("*/seed=0/asleep")))
        second = Running(words, tmp_path)
        wait_for(lambda: states(tmp_path).count("finished") == 2)
        (tmp_path / "awake").touch()
        first.process.kill()
        done = second.wait()
        assert done.status == 0, done.err
        assert sorted(word for job in trained(done) for word in job.split() if word.startswith("seed=")) == [
            "seed=0",
            "seed=1",
            "seed=2",
        ]
