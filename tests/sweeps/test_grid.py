"""Grids by the real command: failures printed at once, jobs that leak nothing, seeds, and how a sweep ends."""

import os
import shlex
import signal
from pathlib import Path

import pytest
import torch

from convline.errors import Interrupted, UserError
from convline.records.directory import read_summary
from convline.sweeps.finish import closing_report
from support.commands import SMALL, Running, convline, run_dirs, train, wait_for
from support.run_files import weights
from support.sweeping import TINY, job_dirs, states


class TestFailure:
    def test_a_job_that_fails_is_printed_at_once_kept_in_its_log_and_stops_no_other(self, tmp_path: Path) -> None:
        done = train(tmp_path, "-m", *TINY, "optimizer.lr=0.1,1e30,0.01")
        assert done.status == 1
        assert states(tmp_path) == ["finished", "failed", "finished"]
        failed = job_dirs(tmp_path)[1]
        assert "error: 1 failed of 3 jobs" in done.err
        start = done.err.index("── failed: ")
        assert "optimizer.lr=1e+30" in done.err[start:]
        assert "the loss became nan in batch" in done.err[start:]
        assert str(failed.relative_to(tmp_path) / "log.txt") in done.err[start:]
        assert "the loss became nan" in (failed / "log.txt").read_text()
        assert "Traceback" not in done.err
        assert "failed" in done.out[done.out.rindex("finished") - 2000 :]  # in the closing table

    @pytest.mark.parametrize(
        ("error", "message"), [("MemoryError", "memory ran out"), ("torch.OutOfMemoryError", "CUDA out of memory")]
    )
    def test_out_of_memory_and_bugs_are_failures_with_their_traceback_in_the_log(
        self, error: str, message: str, tmp_path: Path
    ) -> None:
        words = [f"+callbacks.raise={{_target_: support.failing.RaiseIn, seed: 1, error: {error}, text: '{message}'}}"]
        done = train(tmp_path, "-m", *TINY, *words, "seed=range(3)")
        assert done.status == 1
        assert states(tmp_path) == ["finished", "failed", "finished"]
        assert message in done.err
        assert "Traceback" not in done.err
        log = (job_dirs(tmp_path)[1] / "log.txt").read_text()
        assert ("Traceback" in log) == (error != "MemoryError")  # where memory ran out is chance
        assert message in log

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


class TestInOneProcess:
    @pytest.mark.parametrize("third", ["optimizer=adamw"])
    def test_the_third_job_is_bitwise_the_job_alone(self, third: str, tmp_path: Path) -> None:
        """The first two jobs set whatever a job can set in a process."""
        leaky = "+callbacks.leak={_target_: support.failing.Leak, unless: adamw}"
        words = [*SMALL, "trainer.max_epochs=1", leaky, "seed=3"]
        swept = train(tmp_path / "sweep", "-m", *words, "optimizer=sgd,rmsprop,adamw")
        assert swept.status == 0, swept.err
        assert train(tmp_path / "alone", *words, third).status == 0
        in_sweep = next(path for path in run_dirs(tmp_path / "sweep") if path.name == "optimizer=adamw")
        (alone,) = run_dirs(tmp_path / "alone")
        assert all(torch.equal(value, weights(in_sweep)[key]) for key, value in weights(alone).items())
        one, other = read_summary(in_sweep), read_summary(alone)
        assert one["metrics"] == other["metrics"]
        assert one["identity"] == other["identity"]
        assert (in_sweep / "state.json").read_text() == (alone / "state.json").read_text()

    def test_the_training_set_is_read_once(self, tmp_path: Path) -> None:
        source = ["data.source._target_=support.failing.counted_synthetic"]
        done = train(tmp_path, "-m", *TINY, *source, "seed=range(4)")
        assert done.status == 0, done.err
        assert (tmp_path / "reads").read_text().split().count("train") == 1


class TestSeeds:
    @pytest.mark.slow
    def test_are_short_for_a_sweep_with_one_figure(self, tmp_path: Path) -> None:
        done = train(tmp_path, *TINY, "seeds=3")
        assert done.status == 0, done.err
        assert {path.name for path in run_dirs(tmp_path)} == {"seed=0", "seed=1", "seed=2"}
        accuracies = [read_summary(path)["metrics"]["test/acc"] for path in job_dirs(tmp_path)]
        mean = sum(accuracies) / 3
        deviation = (sum((value - mean) ** 2 for value in accuracies) / 2) ** 0.5
        half = 4.302653 * deviation / 3**0.5  # Student's t for two degrees of freedom, 97.5 %
        low, high = max(mean - half, 0), min(mean + half, 1)
        interval = f"with 95 % confidence, between {100 * low:.2f} and {100 * high:.2f} %."
        assert interval in done.out.split(f"test/acc is {100 * mean:.2f} %;")[1]
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
            with closing_report() as report_folder:
                if folder is not None:
                    report_folder(folder)
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(Interrupted) as info:
            sweep()
        return info.value

    def test_an_interruption_before_the_first_run_is_reported_as_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.stopped(tmp_path, monkeypatch).signum == signal.SIGINT
        assert list(tmp_path.iterdir()) == []

    def test_what_is_done_anew_is_gone_on_with(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.stopped(tmp_path, monkeypatch).hint == "python train.py -m seed=0,1"
        assert self.stopped(None, monkeypatch).hint == "python train.py -m rerun=all seed=0,1"  # nothing is begun

    @pytest.mark.parametrize("error", [UserError("the disk is full"), OSError("no space left"), KeyError("val/acc")])
    def test_a_report_that_fails_hides_no_interruption(
        self, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(folder: Path, metric: str | None) -> None:
            raise error

        (tmp_path / "seed=0").mkdir()
        (tmp_path / "seed=0" / "config.yaml").touch()
        monkeypatch.setattr("convline.reporting.report_sweep", fail)
        stopped = self.stopped(tmp_path, monkeypatch)
        assert stopped.signum == signal.SIGINT
        assert stopped.hint == "python train.py -m seed=0,1"
        assert "the report could not be written" in capsys.readouterr().err

    def test_a_report_that_fails_after_a_whole_sweep_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(folder: Path, metric: str | None) -> None:
            raise UserError("the disk is full")

        (tmp_path / "seed=0").mkdir()
        (tmp_path / "seed=0" / "config.yaml").touch()
        monkeypatch.setattr("convline.reporting.report_sweep", fail)
        with pytest.raises(UserError, match="the disk is full"), closing_report() as report_folder:
            report_folder(tmp_path)


def test_the_command_to_go_on_that_convline_train_names_can_be_typed(tmp_path: Path) -> None:
    words = ["train", "-m", *SMALL, "trainer.max_epochs=20", "seed=0,1"]
    running = Running(words, tmp_path, program="convline")
    wait_for(lambda: any((tmp_path / "runs").glob("*/seed=0/checkpoints/last.ckpt")))
    os.kill(running.process.pid, signal.SIGINT)
    done = running.wait()
    assert done.status == 130, done.err
    hint = done.err.partition("to go on, type: ")[2].splitlines()[0]
    program, *again = shlex.split(hint)
    assert (program, again) == ("convline", words)
    assert "to go on from the last checkpoint" in convline(tmp_path, *again).out


@pytest.mark.slow
def test_combinations_that_compute_the_same_are_one_job(tmp_path: Path) -> None:
    done = train(tmp_path, "-m", *TINY, "data.num_workers=0,1,2", "seed=1")
    assert "3 combinations; 2 left out that would compute the same as another\n1 job: 1 to do" in done.out
    assert len(run_dirs(tmp_path)) == 1


@pytest.mark.slow
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
