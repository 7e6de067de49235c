"""Searches: by validation alone, pruned, gone on with, by several processes."""

import csv
import json
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf

from convline.config import load_config
from convline.records.directory import read_status, read_summary
from convline.sweeps import study
from convline.sweeps.search_space import parse_space
from support.commands import Done, Running, convline, train, wait_for
from support.searching import SEARCH, done_trials, trial_dirs
from support.sweeping import TINY


def study_of(folder: Path) -> optuna.Study:
    (path,) = (folder / "runs").glob("*/study.db")
    (summary,) = optuna.get_all_study_summaries(f"sqlite:///{path}")
    return optuna.load_study(study_name=summary.study_name, storage=f"sqlite:///{path}")


def parameters(folder: Path) -> list[dict[str, Any]]:
    return [trial.params for trial in study_of(folder).trials]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    folder = tmp_path_factory.mktemp("searched")
    done = train(folder, *SEARCH, "sweep.trials=8")
    assert done.status == 0, done.err
    return folder, done


class TestOutcome:
    def test_trials_are_runs_and_their_validation_metric_is_told(self, searched: tuple[Path, Done]) -> None:
        folder, _ = searched
        assert len(trial_dirs(folder)) == 8
        for trial, run_dir in zip(study_of(folder).trials, trial_dirs(folder), strict=True):
            cfg, summary = OmegaConf.load(run_dir / "config.yaml"), read_summary(run_dir)
            assert trial.params == {"optimizer.lr": cfg.optimizer.lr, "data.batch_size": cfg.data.batch_size}
            assert trial.values == [summary["metrics"]["val/acc"]]
            assert "sweep" not in cfg

    def test_its_file_has_the_keys_of_version_0_1(self, searched: tuple[Path, Done]) -> None:
        (path,) = (searched[0] / "runs").glob("*/sweep.json")
        assert json.loads(path.read_text()).keys() == {"search", "words", "command"}

    def test_the_best_is_told_with_the_words_that_train_it(self, searched: tuple[Path, Done]) -> None:
        folder, done = searched
        best = study_of(folder).best_trial
        assert f"trial {best.number + 1}: val/acc {best.value:.6g}" in done.out
        assert f"optimizer.lr={best.params['optimizer.lr']!r}" in done.out[done.out.index("python train.py") :]

    def test_importance_is_written_for_the_report(self, searched: tuple[Path, Done]) -> None:
        (path,) = (searched[0] / "runs").glob("*/importance.json")
        importance = json.loads(path.read_text())
        assert set(importance) == {"optimizer.lr", "data.batch_size"}
        assert sum(importance.values()) == pytest.approx(1)
        assert 'data-kind="importance"' in path.with_name("report.html").read_text()

    def test_the_same_command_is_done_already(self, searched: tuple[Path, Done]) -> None:
        folder, _ = searched
        again = train(folder, *SEARCH, "sweep.trials=8")
        assert again.status == 0
        assert "8 trials: 8 finished, 0 to do" in again.out
        assert len(trial_dirs(folder)) == 8


@pytest.mark.slow
class TestGoingOn:
    def test_the_same_seed_goes_on_instead_of_repeating(self, searched: tuple[Path, Done], tmp_path: Path) -> None:
        """In three commands, one of which is killed in the middle of a trial, it tries what it tries in one."""
        stop = "+callbacks.slow={_target_: support.failing.SleepInTrial, number: 5, seconds: 60, unless: awake}"
        for trials in (2, 5):
            done = train(tmp_path, *SEARCH, stop, f"sweep.trials={trials}")
            assert done.status == 0, done.err
        running = Running([*SEARCH, stop, "sweep.trials=8"], tmp_path)
        wait_for(lambda: any((tmp_path / "runs").glob("*/005,*/asleep")))
        running.process.kill()
        running.process.join()
        (tmp_path / "awake").touch()
        last = train(tmp_path, *SEARCH, stop, "sweep.trials=8")
        assert last.status == 0, last.err
        assert "8 trials: 5 finished, 1 begun, 2 to do" in last.out
        assert done_trials(last) == [6, 7, 8]
        assert parameters(tmp_path) == parameters(searched[0])
        assert len({str(values) for values in parameters(tmp_path)}) == 8

    def test_a_named_folder_holds_this_search_alone(self, searched: tuple[Path, Done], tmp_path: Path) -> None:
        (other,) = (searched[0] / "runs").glob("*_sweep")
        folder = f"hydra.sweep.dir={other}"
        before = {path: path.read_bytes() for path in other.rglob("*.json")}
        for words in ([*SEARCH, "sweep.seed=1"], ["-m", *TINY, "seed=0,1"]):
            done = train(tmp_path, *words, folder)
            assert done.status == 1
            assert done.err.startswith(f"error: {other} holds a")
        assert {path: path.read_bytes() for path in other.rglob("*.json")} == before
        done = train(tmp_path, *SEARCH, "sweep.trials=1", "hydra.sweep.dir=runs/mine")
        assert done.status == 0, done.err
        again = train(tmp_path, *SEARCH, "sweep.trials=2", "hydra.sweep.dir=runs/mine")
        assert done_trials(again) == [2]
        assert [path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()] == ["mine"]

    def test_another_seed_is_another_search(self, searched: tuple[Path, Done], tmp_path: Path) -> None:
        done = train(tmp_path, *SEARCH, "sweep.trials=2", "sweep.seed=1")
        assert done.status == 0
        assert parameters(tmp_path)[0] != parameters(searched[0])[0]

    @pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsgaii", "grid"])
    def test_every_sampler_goes_on(self, sampler: str, tmp_path: Path) -> None:
        """Opened anew for each trial, a study asks for what it asks for when it is never closed."""
        objectives = "[val/loss,parameters]" if sampler == "nsgaii" else "[val/loss]"
        words = [f"sweep/sampler={sampler}", f"sweep.objectives={objectives}", "sweep.seed=3"]
        words += ["sweep.sampler.population_size=4"] if sampler == "nsgaii" else []
        settings = load_config(words).sweep
        ranges = ["a=range(1,6)", "b=range(1,6)"] if sampler == "grid" else ["a=interval(0,1)", "b=interval(0,1)"]
        dimensions = parse_space(ranges, {})[1]

        def ask(opened: optuna.Study) -> dict[str, Any]:
            trial = opened.ask({dimension.key: dimension.distribution for dimension in dimensions})
            loss = (trial.params["a"] - 0.3) ** 2 + (trial.params["b"] - 0.6) ** 2
            opened.tell(trial, [loss, trial.params["a"]] if sampler == "nsgaii" else loss)
            return trial.params

        def opened(name: str) -> optuna.Study:
            return study.open_study(study.default_url(tmp_path / name), "s", settings, dimensions)[0]

        for name in ("once", "anew"):
            (tmp_path / name).mkdir()
        once = opened("once")
        wanted = [ask(once) for _ in range(20)]
        assert [ask(opened("anew")) for _ in range(20)] == wanted
        assert len({str(values) for values in wanted}) > 15  # mutation and crossover may bring something back

    def test_grid_sampler_does_each_combination_once(self, tmp_path: Path) -> None:
        words = [word for word in SEARCH if "interval" not in word and "8,16" not in word]
        done = train(tmp_path, *words, "optimizer.lr=0.1,0.01", "data.batch_size=8,16", "sweep/sampler=grid")
        assert done.status == 0, done.err
        assert sorted((p["optimizer.lr"], p["data.batch_size"]) for p in parameters(tmp_path)) == [
            (rate, size) for rate in (0.01, 0.1) for size in (8, 16)
        ]

    def test_two_processes_share_a_study(self, tmp_path: Path) -> None:
        words = [*SEARCH, "trainer.limit_train_batches=30"]
        assert train(tmp_path, *words, "sweep.trials=1").status == 0
        words.append("sweep.trials=6")
        both = [Running(words, tmp_path) for _ in range(2)]
        done = [process.wait() for process in both]
        assert [one.status for one in done] == [0, 0], done[0].err + done[1].err
        first, second = map(done_trials, done)
        assert sorted(first + second) == [2, 3, 4, 5, 6]
        assert first, "one did everything"
        assert second, "one did everything"
        assert [trial.state.name for trial in study_of(tmp_path).trials] == ["COMPLETE"] * 6


class TestEnds:
    @pytest.mark.slow
    def test_pruned_trials_are_recorded_in_their_runs_and_in_the_study(self, tmp_path: Path) -> None:
        words = [word for word in SEARCH if "max_epochs" not in word]
        pruner = ["sweep/pruner=median", "sweep.pruner.n_startup_trials=2", "trainer.max_epochs=4", "sweep.trials=6"]
        done = train(tmp_path, *words, *pruner)
        assert done.status == 0, done.err
        states = [trial.state.name for trial in study_of(tmp_path).trials]
        assert set(states) == {"COMPLETE", "PRUNED"}
        for trial, run_dir in zip(study_of(tmp_path).trials, trial_dirs(tmp_path), strict=True):
            summary = read_summary(run_dir)
            pruned = trial.state.name == "PRUNED"
            assert summary["status"] == ("pruned" if pruned else "finished")
            epochs = len((run_dir / "metrics.csv").read_text().splitlines()) - 1
            assert len(trial.intermediate_values) == epochs
            assert (epochs < 4) == pruned
            assert ("metrics" in summary) != pruned  # a pruned run is never tested
        again = train(tmp_path, *words, *pruner)
        assert "0 to do" in again.out

    @pytest.mark.slow
    def test_a_failed_trial_is_told_and_counted(self, tmp_path: Path) -> None:
        words = [word for word in SEARCH if "interval" not in word and "8,16" not in word]
        done = train(tmp_path, *words, "optimizer.lr=0.1,1e30", "sweep/sampler=grid")
        assert done.status == 1
        assert "1 failed of 2 trials" in done.err
        assert "── failed: optimizer.lr=1e+30" in done.err
        assert sorted(trial.state.name for trial in study_of(tmp_path).trials) == ["COMPLETE", "FAIL"]

    @pytest.mark.slow
    def test_several_objectives_give_a_front(self, tmp_path: Path) -> None:
        words = [word for word in SEARCH if "interval" not in word and "pattern" not in word]
        networks = 'model.pattern="FC","CONV(4) -> RELU -> FC","CONV(8) -> RELU -> FC"'
        done = train(
            tmp_path,
            *words,
            networks,
            "sweep/sampler=nsgaii",
            "sweep.objectives=[val/acc,parameters]",
            "sweep.trials=4",
        )
        assert done.status == 0, done.err
        assert "trials are not beaten by another in every objective" in done.out
        for trial, run_dir in zip(study_of(tmp_path).trials, trial_dirs(tmp_path), strict=True):
            summary = read_summary(run_dir)
            assert trial.values == [summary["metrics"]["val/acc"], summary["parameters"]]

    @pytest.mark.slow
    def test_a_further_metric_is_an_objective(self, tmp_path: Path) -> None:
        done = train(tmp_path, *SEARCH, "metrics=[f1]", "sweep.objectives=[val/f1]", "sweep.trials=2")
        assert done.status == 0, done.err
        assert "by val/f1" in done.out
        for trial, run_dir in zip(study_of(tmp_path).trials, trial_dirs(tmp_path), strict=True):
            assert trial.values == [read_summary(run_dir)["metrics"]["val/f1"]]

    @pytest.mark.slow
    def test_ctrl_c_saves_the_trial_which_goes_on(self, tmp_path: Path) -> None:
        words = [*(word for word in SEARCH if "max_epochs" not in word), "trainer.max_epochs=30", "sweep.trials=1"]
        running = Running(words, tmp_path)
        wait_for(lambda: any((tmp_path / "runs").glob("*/000,*/checkpoints/last.ckpt")))
        os.kill(running.process.pid, signal.SIGINT)
        stopped = running.wait()
        assert stopped.status == 130
        assert "hydra/sweeper=search" in stopped.err
        (run_dir,) = trial_dirs(tmp_path)
        assert read_status(run_dir) == "interrupted"
        last = train(tmp_path, *words)
        assert last.status == 0, last.err
        assert f"Going on from {run_dir.relative_to(tmp_path)}" in last.out
        assert study_of(tmp_path).trials[0].state.name == "COMPLETE"


@pytest.mark.slow
def test_files_with_spaces_search_by_themselves(tmp_path: Path) -> None:
    words = [word for word in TINY if "pattern" not in word]
    done = train(tmp_path, "-m", "sweep=lenet_lr", *words, "model=dense", "sweep.trials=2", "optimizer.momentum=0.9")
    assert done.status == 0, done.err
    assert [set(values) for values in parameters(tmp_path)] == [{"optimizer.lr", "optimizer.weight_decay"}] * 2
    assert all(0.003 <= values["optimizer.lr"] <= 0.3 for values in parameters(tmp_path))


@pytest.mark.slow
def test_a_report_shows_the_trials_of_other_folders_from_the_study(tmp_path: Path) -> None:
    words = [*SEARCH, f"sweep.storage=sqlite:///{tmp_path / 'shared.db'}"]
    assert train(tmp_path / "one", *words, "sweep.trials=1").status == 0
    (other,) = trial_dirs(tmp_path / "one")
    results = read_summary(other)["metrics"]
    shutil.rmtree(tmp_path / "one")  # its machine is gone
    done = train(tmp_path / "two", *words, "sweep.trials=2")
    assert done.status == 0, done.err
    assert done_trials(done) == [2]
    assert f"Trained in other folders, and shown from the study: 1 run, 1 on {socket.gethostname()}." in done.out
    (own,) = trial_dirs(tmp_path / "two")
    assert convline(tmp_path / "two", "report", "runs").status == 0  # needs no study
    rows = list(csv.DictReader((tmp_path / "two" / "runs" / "report.csv").open()))
    expected = {str(own.relative_to(tmp_path / "two")), f"{socket.gethostname()}:{other}"}
    assert {row["runs"] for row in rows} == expected
    (row,) = (row for row in rows if row["runs"].endswith(str(other)))
    assert float(row["val/acc"]) == results["val/acc"]
    assert float(row["test/acc"]) == results["test/acc"]
    assert row["optimizer.lr"]
