"""Grids by the real command: skipped, gone on with, extended, shared; failures told at once; jobs that leak nothing."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import SMALL, Done, Running, run_dirs, train
from convline import runs
from convline.errors import Interrupted
from convline.sweeps.ending import closing

TINY = [*SMALL, "trainer.max_epochs=1", "trainer.limit_train_batches=4", "~callbacks.throughput", "logger=csv"]


def job_dirs(folder: Path) -> list[Path]:
    """The directories of the one sweep's jobs, in order."""
    (path,) = (folder / "runs").glob("*/sweep.json")
    return [path.parent / job["directory"] for job in json.loads(path.read_text())["jobs"]]


def states(folder: Path) -> list[str]:
    return [runs.status(path) for path in job_dirs(folder)]


def trained(done: Done) -> list[str]:
    """The jobs that a command did, as their titles name them."""
    return re.findall(r"^── job \d+ of \d+: (.*)$", done.out, flags=re.MULTILINE)


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


class TestFailure:
    def test_a_job_that_fails_is_told_at_once_kept_in_its_log_and_stops_no_other(self, tmp_path: Path) -> None:
        done = train(tmp_path, "-m", *TINY, "optimizer.lr=0.1,1e30,0.01")
        assert done.status == 1
        assert states(tmp_path) == ["finished", "failed", "finished"]
        failed = job_dirs(tmp_path)[1]
        assert "error: 1 failed of 3 jobs" in done.err
        told = done.err.index("── failed: ")
        assert "optimizer.lr=1e+30" in done.err[told:]
        assert "the loss became nan in batch" in done.err[told:]
        assert str(failed.relative_to(tmp_path) / "log.txt") in done.err[told:]
        assert "the loss became nan" in (failed / "log.txt").read_text()
        assert "Traceback" not in done.err
        assert "failed" in done.out[done.out.rindex("finished") - 2000 :]  # in the closing table

    @pytest.mark.parametrize(
        ("error", "told"), [("MemoryError", "MemoryError"), ("torch.OutOfMemoryError", "CUDA out of memory")]
    )
    def test_out_of_memory_and_bugs_are_failures_with_their_traceback_in_the_log(
        self, error: str, told: str, tmp_path: Path
    ) -> None:
        words = [f"+callbacks.raise={{_target_: failing.RaiseIn, seed: 1, error: {error}, text: '{told}'}}"]
        done = train(tmp_path, "-m", *TINY, *words, "seed=range(3)")
        assert done.status == 1
        assert states(tmp_path) == ["finished", "failed", "finished"]
        assert told in done.err
        assert "Traceback" not in done.err
        assert "Traceback" in (job_dirs(tmp_path)[1] / "log.txt").read_text()

    def test_fail_fast_stops_at_the_first(self, tmp_path: Path) -> None:
        done = train(tmp_path, "-m", *TINY, "optimizer.lr=0.1,1e30,0.01", "fail_fast=true")
        assert done.status == 1
        assert states(tmp_path) == ["finished", "failed", "waiting"]
        assert "1 failed, 1 not begun of 3 jobs" in done.err

    def test_a_wrong_combination_is_found_before_anything_is_trained(self, tmp_path: Path) -> None:
        done = train(tmp_path, "-m", *TINY, "optimizer.lr=0.1,-1", "seed=0,1")
        assert done.status == 1
        assert done.err.startswith("error: in the combination")
        assert "optimizer.lr=-1 seed=0" in done.err
        assert "out of range" in done.err
        assert run_dirs(tmp_path) == []

    def test_missing_data_are_found_before_anything_is_trained(self, tmp_path: Path) -> None:
        done = train(tmp_path, "-m", "data=digits,mnist", "+data.root=nowhere")
        assert done.status == 1
        assert run_dirs(tmp_path) == []


class TestRerun:
    WORDS = ("-m", *TINY, "optimizer.lr=0.1,1e30,0.01")

    def test_the_same_command_skips_what_is_done_and_tries_again_what_failed(self, tmp_path: Path) -> None:
        train(tmp_path, *self.WORDS)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("lr=0.*/**/*") if path.is_file()}
        again = train(tmp_path, *self.WORDS, "name=other", "trainer.log_every_n_steps=7")
        assert again.status == 1
        assert "3 jobs: 2 finished already, 1 to do" in again.out
        assert len(trained(again)) == 1
        assert "lr=1e+30" in trained(again)[0]
        assert before == {path: path.stat().st_mtime_ns for path in before}
        assert len(run_dirs(tmp_path)) == 3

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

    def test_an_extended_grid_adds_only_what_is_new(self, tmp_path: Path) -> None:
        train(tmp_path, "-m", *TINY, "optimizer.lr=0.1,0.05")  # 0.05 is the default
        more = train(tmp_path, "-m", *TINY, "optimizer.lr=0.02,0.1,0.05")
        assert len(trained(more)) == 1
        other_key = train(tmp_path, "-m", *TINY, "seed=0,1")  # seed 0 is the job with the default rate
        assert "2 jobs: 1 finished already, 1 to do" in other_key.out
        assert len(list((tmp_path / "runs").glob("*_sweep*"))) == 1
        assert len(run_dirs(tmp_path)) == 4

    def test_another_grid_has_a_folder_of_its_own(self, tmp_path: Path) -> None:
        train(tmp_path, "-m", *TINY, "optimizer.lr=0.1,0.01")
        train(tmp_path, "-m", *TINY, "optimizer.lr=0.1,0.01", "data.batch_size=32")
        assert len(list((tmp_path / "runs").glob("*_sweep*"))) == 2
        assert len(run_dirs(tmp_path)) == 4

    def test_an_interrupted_job_goes_on_and_ends_as_if_it_had_never_stopped(self, tmp_path: Path) -> None:
        words = [*SMALL, "seed=0,1,2", "trainer.max_epochs=2"]
        assert train(tmp_path / "reference", "-m", *words).status == 0
        count = "+callbacks.stop={_target_: failing.StopOnce, seed: 1, step: 40, signum: 2}"
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

    def test_another_version_of_the_code_begins_anew_or_is_taken_as_it_is(self, tmp_path: Path) -> None:
        words = ["-m", *TINY, "seed=0,1"]
        train(tmp_path, *words)
        for path in run_dirs(tmp_path):
            runs.update_summary(path, identity="of another version")
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

    def test_a_named_folder_that_holds_another_sweep_is_refused(self, tmp_path: Path) -> None:
        folder = "hydra.sweep.dir=runs/mine"
        assert train(tmp_path, "-m", *TINY, "seed=0,1", folder).status == 0
        again = train(tmp_path, "-m", *TINY, "seed=0,1,2", folder)
        assert len(trained(again)) == 1
        refused = train(tmp_path, "-m", *TINY, "seed=0,1", "data.batch_size=32", folder)
        assert refused.status == 1
        assert "runs/mine holds another sweep: its job seed=0 has data.batch_size=16, and this one 32" in refused.err
        assert len(run_dirs(tmp_path)) == 3

    def test_a_job_whose_config_was_edited_is_refused(self, tmp_path: Path) -> None:
        train(tmp_path, "-m", *TINY, "seed=0,1", "optimizer.lr=1e30", "hydra.sweep.dir=runs/mine")
        path = tmp_path / "runs" / "mine" / "seed=1" / "config.yaml"
        path.write_text(path.read_text().replace("batch_size: 16", "batch_size: 15"))
        refused = train(tmp_path, "-m", *TINY, "seed=0,1", "optimizer.lr=1e30", "hydra.sweep.dir=runs/mine")
        assert refused.status == 1
        assert "runs/mine/seed=1/config.yaml" in refused.err
        assert trained(refused) == []

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

    def test_different_sweeps_in_the_same_second_do_not_collide(self, tmp_path: Path) -> None:
        both = [Running(["-m", *TINY, "seed=0,1", f"data.batch_size={size}"], tmp_path) for size in (16, 32, 48)]
        assert [process.wait().status for process in both] == [0, 0, 0]
        assert len(list((tmp_path / "runs").glob("*_sweep*"))) == 3
        assert len(run_dirs(tmp_path)) == 6

    def test_a_job_of_a_process_that_dies_is_taken_over(self, tmp_path: Path) -> None:
        slow = "+callbacks.slow={_target_: failing.Sleep, seed: 0, seconds: 60, unless: awake}"
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


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


class TestInOneProcess:
    @pytest.mark.parametrize("third", ["optimizer=adamw"])
    def test_the_third_job_is_bitwise_the_job_alone(self, third: str, tmp_path: Path) -> None:
        """The first two jobs set whatever a job can set in a process."""
        leaky = "+callbacks.leak={_target_: failing.Leak, unless: adamw}"
        words = [*SMALL, "trainer.max_epochs=1", leaky, "seed=3"]
        swept = train(tmp_path / "sweep", "-m", *words, "optimizer=sgd,rmsprop,adamw")
        assert swept.status == 0, swept.err
        assert train(tmp_path / "alone", *words, third).status == 0
        in_sweep = next(path for path in run_dirs(tmp_path / "sweep") if path.name == "optimizer=adamw")
        (alone,) = run_dirs(tmp_path / "alone")
        assert all(torch.equal(value, weights(in_sweep)[key]) for key, value in weights(alone).items())
        one, other = runs.read_summary(in_sweep), runs.read_summary(alone)
        assert one["metrics"] == other["metrics"]
        assert one["identity"] == other["identity"]
        assert (in_sweep / "state.json").read_text() == (alone / "state.json").read_text()

    def test_the_training_set_is_read_once(self, tmp_path: Path) -> None:
        source = ["data.source._target_=failing.counted_synthetic"]
        done = train(tmp_path, "-m", *TINY, *source, "seed=range(4)")
        assert done.status == 0, done.err
        assert (tmp_path / "reads").read_text().split().count("train") == 1


class TestSeeds:
    def test_are_short_for_a_sweep_with_one_figure(self, tmp_path: Path) -> None:
        done = train(tmp_path, *TINY, "seeds=3")
        assert done.status == 0, done.err
        assert {path.name for path in run_dirs(tmp_path)} == {"seed=0", "seed=1", "seed=2"}
        accuracies = [runs.read_summary(path)["metrics"]["test/acc"] for path in job_dirs(tmp_path)]
        mean = sum(accuracies) / 3
        deviation = (sum((value - mean) ** 2 for value in accuracies) / 2) ** 0.5
        half = 4.302653 * deviation / 3**0.5  # Student's t for two degrees of freedom, 97.5 %
        low, high = max(mean - half, 0), min(mean + half, 1)
        said = f"with 95 % confidence, between {100 * low:.2f} and {100 * high:.2f} %."
        assert said in done.out.split(f"test/acc is {100 * mean:.2f} %;")[1]
        more = train(tmp_path, *TINY, "seeds=2", "seed=2")
        assert "2 jobs: 1 finished already, 1 to do" in more.out
        assert {path.name for path in run_dirs(tmp_path)} == {"seed=0", "seed=1", "seed=2", "seed=3"}

    def test_are_not_searched(self, tmp_path: Path) -> None:
        words = ["-m", "hydra/sweeper=search", "optimizer.lr=interval(0.1,1)", "seeds=2"]
        assert "a seed is nothing to choose" in train(tmp_path, *TINY, *words).err

    @pytest.mark.parametrize("words", [["seeds=0"], ["seeds=many"], ["seeds=2", "seed=0,1", "-m"]])
    def test_are_counted(self, words: list[str], tmp_path: Path) -> None:
        done = train(tmp_path, *TINY, *words)
        assert done.status == 1
        assert f"error: {next(word for word in words if word.startswith('seeds'))}" in done.err


class TestEnding:
    WORDS = ("train.py", "-m", "rerun=all", "seed=0,1")

    def stopped(self, folder: Path | None, monkeypatch: pytest.MonkeyPatch) -> Interrupted:
        monkeypatch.setattr("sys.argv", list(self.WORDS))

        def sweep() -> None:
            with closing() as show:
                if folder is not None:
                    show(folder)
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(Interrupted) as told:
            sweep()
        return told.value

    def test_an_interruption_before_the_first_run_is_told_as_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.stopped(tmp_path, monkeypatch).signum == signal.SIGINT
        assert list(tmp_path.iterdir()) == []

    def test_what_is_done_anew_is_gone_on_with(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.stopped(tmp_path, monkeypatch).hint == "python train.py -m seed=0,1"
        assert self.stopped(None, monkeypatch).hint == "python train.py -m rerun=all seed=0,1"  # nothing is begun


def test_combinations_that_compute_the_same_are_one_job(tmp_path: Path) -> None:
    done = train(tmp_path, "-m", *TINY, "data.num_workers=0,1,2", "seed=1")
    assert "3 combinations; 2 left out that would compute the same as another\n1 job: 1 to do" in done.out
    assert len(run_dirs(tmp_path)) == 1


def test_globs_and_ranges_are_expanded_wherever_m_stands(tmp_path: Path) -> None:
    done = train(tmp_path, *TINY, "-m", "scheduler=glob(co*)", "seed=range(0,4,step=2)")
    assert done.status == 0, done.err
    assert {path.name for path in run_dirs(tmp_path)} == {
        f"scheduler={name},seed={seed}" for name in ("constant", "cosine") for seed in (0, 2)
    }


def test_sigterm_leaves_a_table_and_the_command_to_go_on(tmp_path: Path) -> None:
    running = Running(["-m", *SMALL, "trainer.max_epochs=100", "seed=0,1"], tmp_path)
    wait_for(lambda: any((tmp_path / "runs").glob("*/seed=0/checkpoints/last.ckpt")))
    os.kill(running.process.pid, signal.SIGTERM)
    done = running.wait()
    assert done.status == 143
    assert "interrupted" in done.out
    assert "to go on, type: python train.py -m" in done.err
