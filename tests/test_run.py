"""One run, end to end: what it says, what it leaves, and that its options do what they say."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from commands import ROOT, SMALL, Done, Running, convline, run_dirs, shell, train
from convline import report_run


def summary(run_dir: Path) -> dict:
    return json.loads((run_dir / "summary.json").read_text())


def rows(run_dir: Path) -> list[dict[str, str]]:
    with open(run_dir / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    folder = tmp_path_factory.mktemp("finished")
    done = train(folder, *SMALL, "trainer.max_epochs=3")
    assert done.status == 0, done.err
    (run_dir,) = run_dirs(folder)
    return run_dir, done


class TestRunDirectory:
    def test_holds_everything(self, finished: tuple[Path, Done]) -> None:
        run_dir, _ = finished
        names = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}
        events = {name for name in names if name.startswith("events.out.tfevents")}
        assert events
        assert names - events == {
            "config.yaml",
            "environment.json",
            ".lock",
            "hparams.yaml",
            "metrics.csv",
            "summary.json",
            "checkpoints/best.ckpt",
            "checkpoints/last.ckpt",
            "predictions/val.npz",
            "predictions/test.npz",
            "pictures/training_images.png",
        }

    def test_summary_tells_the_outcome(self, finished: tuple[Path, Done]) -> None:
        run_dir, done = finished
        told = summary(run_dir)
        assert told["status"] == "finished"
        assert told["seconds"] > 0
        assert len(told["identity"]) == 16
        best = rows(run_dir)[told["best_epoch"] - 1]
        assert float(best["val/acc"]) == max(float(row["val/acc"]) for row in rows(run_dir))
        assert told["metrics"]["val/acc"] == pytest.approx(float(best["val/acc"]))
        assert told["metrics"]["val/loss"] == pytest.approx(float(best["val/loss"]), rel=1e-5)
        assert f"{told['metrics']['test/acc']:.2%}" in done.out
        assert f"convline dashboard {run_dir.parent.name}" in done.out

    def test_predictions_are_the_figures(self, finished: tuple[Path, Done]) -> None:
        run_dir, _ = finished
        for part, count in (("val", 60), ("test", 100)):
            saved = np.load(run_dir / "predictions" / f"{part}.npz")
            assert saved["logits"].shape == (count, 10)
            hits = saved["logits"].argmax(axis=1) == saved["labels"]
            assert summary(run_dir)["metrics"][f"{part}/acc"] == pytest.approx(hits.mean())
            of_class_3 = hits[saved["labels"] == 3].mean()
            assert summary(run_dir)["class_accuracy"][part]["class 3"] == pytest.approx(of_class_3, abs=1e-6)

    def test_curves_are_in_csv_and_tensorboard_alike(self, finished: tuple[Path, Done]) -> None:
        run_dir, _ = finished
        events = EventAccumulator(str(run_dir), size_guidance={"scalars": 0}).Reload()
        for tag in ("train/loss", "train/acc", "val/loss", "val/acc", "lr", "images/s", "seconds/epoch"):
            points = events.Scalars(tag)
            assert [point.step for point in points] == [34, 68, 102]
            assert [point.value for point in points] == pytest.approx([float(row[tag]) for row in rows(run_dir)])
        assert events.Scalars("train/loss_step")[0].step >= 50

    def test_config_is_resolved_and_environment_complete(self, finished: tuple[Path, Done]) -> None:
        run_dir, _ = finished
        assert "${" not in (run_dir / "config.yaml").read_text()
        environment = json.loads((run_dir / "environment.json").read_text())
        assert environment["packages"]["torch"] == torch.__version__.split("+")[0]
        assert environment["command"][1:] == ["train.py", *SMALL, "trainer.max_epochs=3"]
        assert environment["hardware"]["threads"] == 1
        assert environment["code"]["commit"] is None or len(environment["code"]["commit"]) == 40

    def test_evaluate_gives_the_same_figure(self, finished: tuple[Path, Done], tmp_path: Path) -> None:
        run_dir, _ = finished
        done = convline(tmp_path, "evaluate", str(run_dir))
        assert done.status == 0, done.err
        assert f"test/acc {summary(run_dir)['metrics']['test/acc']:.6f}" in done.out
        assert f"test/loss {summary(run_dir)['metrics']['test/loss']:.6f}" in done.out

    def test_hparams_tab_has_settings_metrics_and_status(self, finished: tuple[Path, Done]) -> None:
        from tensorboard.plugins.hparams import plugin_data_pb2
        from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS

        run_dir, _ = finished
        events = EventAccumulator(str(run_dir)).Reload()
        content = events.PluginTagToContent("hparams")

        def read(tag: str) -> plugin_data_pb2.HParamsPluginData:
            return plugin_data_pb2.HParamsPluginData.FromString(content[tag])

        experiment = read("_hparams_/experiment").experiment
        tags = {info.name.tag for info in experiment.metric_infos}
        assert tags == {"result/val/acc", "result/val/loss", "result/test/acc", "result/test/loss"}
        settings = read("_hparams_/session_start_info").session_start_info.hparams
        assert settings["optimizer.lr"].number_value == 0.05
        assert settings["model"].string_value == "lenet"
        assert {info.name for info in experiment.hparam_infos} > set(settings)  # another run may have the others
        assert read("_hparams_/session_end_info").session_end_info.status == STATUS_SUCCESS
        metrics = summary(run_dir)["metrics"]
        (best,), (test,) = events.Scalars("result/val/acc"), events.Scalars("result/test/acc")
        assert best.value == pytest.approx(metrics["val/acc"])
        assert test.value == pytest.approx(metrics["test/acc"])
        assert len(events.Scalars("val/acc")) == 3  # the curve is not cut to one point

    def test_resuming_a_finished_run_changes_nothing(self, finished: tuple[Path, Done], tmp_path: Path) -> None:
        run_dir, _ = finished
        before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
        done = train(tmp_path, f"resume={run_dir}")
        assert done.status == 0
        assert "finished already" in done.out
        assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before


def test_same_seed_same_weights_and_seed_0_is_a_seed(tmp_path: Path) -> None:
    for seed in (0, 0, 1):
        assert train(tmp_path, *SMALL, f"seed={seed}", "trainer.max_epochs=1").status == 0
    first, again, other = map(weights, run_dirs(tmp_path))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first if key.endswith("conv1.weight"))
    identities = [summary(run_dir)["identity"] for run_dir in run_dirs(tmp_path)]
    assert identities[0] == identities[1] != identities[2]


def test_steps_per_execution_and_threads_of_callbacks_change_no_number(tmp_path: Path) -> None:
    for words in (["steps_per_execution=1"], ["steps_per_execution=100"], ["callbacks.progress=null"]):
        assert train(tmp_path, *SMALL, *words).status == 0
    first, *others = map(weights, run_dirs(tmp_path))
    for other in others:
        assert all(torch.equal(first[key], other[key]) for key in first)


def test_early_stopping_stops_early(tmp_path: Path) -> None:
    words = [
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=100",
    ]
    assert train(tmp_path, *SMALL, *words, "trainer.max_epochs=9").status == 0
    assert len(rows(run_dirs(tmp_path)[0])) == 2  # the first epoch is the best, the second is no better


def test_overfitting_ten_batches_learns_them_by_heart(tmp_path: Path) -> None:
    words = [word for word in SMALL if not word.startswith(("trainer.max_epochs", "model.pattern"))]
    done = train(tmp_path, *words, "trainer=overfit", "trainer.accelerator=cpu", "trainer.max_epochs=30", "threads=1")
    assert done.status == 0, done.err
    last = rows(run_dirs(tmp_path)[0])[-1]
    assert float(last["step"]) == 300
    assert float(last["train/loss"]) < 0.01
    assert float(last["val/acc"]) == 1.0  # validated on the same batches


def test_one_batch_and_profile(tmp_path: Path) -> None:
    assert train(tmp_path, *SMALL, "trainer=one_batch", "trainer.max_epochs=1").status == 0
    assert rows(run_dirs(tmp_path)[0])[-1]["step"] == "1"
    assert train(tmp_path, *SMALL, "trainer=profile", "trainer.max_epochs=1").status == 0
    assert "aten::" in (run_dirs(tmp_path)[1] / "fit-profile.txt").read_text()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("scheduler", ["constant", "step", "cosine", "onecycle", "linear"])
def test_every_optimizer_with_every_schedule(optimizer: str, scheduler: str, tmp_path: Path) -> None:
    words = [
        f"optimizer={optimizer}",
        f"scheduler={scheduler}",
        "trainer.limit_train_batches=4",
        "scheduler.warmup=0.5",
    ]
    done = train(tmp_path, *SMALL, *words)
    assert done.status == 0, done.err


@pytest.mark.slow
def test_compiled_network_has_the_same_names_and_learns(tmp_path: Path) -> None:
    words = ['model.pattern="CONV(4) -> RELU -> POOL -> FC(16) -> RELU -> FC"', "trainer.limit_train_batches=4"]
    done = train(tmp_path, *SMALL, *words, "compile=true")
    assert done.status == 0, done.err
    plain = train(tmp_path, *SMALL, *words)
    assert plain.status == 0
    compiled, plainly = map(weights, run_dirs(tmp_path))
    assert compiled.keys() == plainly.keys()
    torch.testing.assert_close(compiled["network.fc1.weight"], plainly["network.fc1.weight"], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
class TestDataParallel:
    WORDS = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=2", "data.batch_size=8")

    def test_two_ranks_do_what_one_does_with_the_doubled_batch(self, tmp_path: Path) -> None:
        plain = [w for w in SMALL if not w.startswith(("data.batch_size", "model.pattern"))]
        done = train(tmp_path, *plain, *self.WORDS, "model=dense")
        assert done.status == 0, done.err
        single = train(tmp_path, *plain, "trainer.max_epochs=2", "data.batch_size=16", "model=dense")
        assert single.status == 0, single.err
        two, one = run_dirs(tmp_path)
        assert [row["step"] for row in rows(two)] == [row["step"] for row in rows(one)]
        for key, value in weights(one).items():
            torch.testing.assert_close(weights(two)[key], value, rtol=1e-4, atol=1e-5)
        for row, other in zip(rows(two), rows(one), strict=True):
            for key in ("train/loss", "val/loss", "lr"):
                assert float(row[key]) == pytest.approx(float(other[key]), rel=1e-3)

    def test_an_interrupted_run_resumes_bitwise_on_all_ranks(self, tmp_path: Path) -> None:
        reference = train(tmp_path / "reference", *SMALL, *self.WORDS)
        assert reference.status == 0, reference.err
        stop = "+callbacks.kill={_target_: kill_at.KillAt, step: 20, signum: 15}"
        stopped = train(tmp_path / "stopped", *SMALL, *self.WORDS, stop, "steps_per_execution=4")
        assert stopped.status == 143, stopped.err
        (run_dir,) = run_dirs(tmp_path / "stopped")
        from test_resume import without_the_kill

        without_the_kill(run_dir)
        assert train(tmp_path, f"resume={run_dir}").status == 0
        wanted = weights(run_dirs(tmp_path / "reference")[0])
        assert all(torch.equal(value, wanted[key]) for key, value in weights(run_dir).items())


class TestMultirun:
    def test_readable_directories_and_a_failed_job(self, tmp_path: Path) -> None:
        done = train(tmp_path, "-m", *SMALL, "trainer.max_epochs=1", "optimizer.lr=0.1,1e9,0.01", "seed=0,1")
        assert done.status == 1
        assert "error: 2 failed of 6 jobs" in done.err
        statuses = {run_dir.name: summary(run_dir)["status"] for run_dir in run_dirs(tmp_path)}
        assert len(statuses) == 6
        assert sorted(statuses.values()) == ["failed"] * 2 + ["finished"] * 4
        assert all("lr=1000000000.0" in name for name, status in statuses.items() if status == "failed")

    def test_a_job_of_a_sweep_is_the_run_alone(self, tmp_path: Path) -> None:
        assert train(tmp_path / "sweep", "-m", *SMALL, "trainer.max_epochs=1", "seed=5,3").status == 0
        assert train(tmp_path / "alone", *SMALL, "trainer.max_epochs=1", "seed=3").status == 0
        in_sweep = next(r for r in run_dirs(tmp_path / "sweep") if "seed=3" in r.name)
        (alone,) = run_dirs(tmp_path / "alone")
        wanted = weights(alone)
        assert all(torch.equal(value, wanted[key]) for key, value in weights(in_sweep).items())
        assert summary(in_sweep)["identity"] == summary(alone)["identity"]

    def test_the_same_sweep_twice_overwrites_nothing(self, tmp_path: Path) -> None:
        words = ["-m", *SMALL, "trainer.limit_train_batches=1", "seed=0,1", "hydra.sweep.dir=runs/mine"]
        assert train(tmp_path, *words).status == 0
        before = [(path / "summary.json").read_text() for path in run_dirs(tmp_path)]
        assert train(tmp_path, *words).status == 0
        assert [(path / "summary.json").read_text() for path in run_dirs(tmp_path)] == before
        assert len(before) == 2


def test_help_is_a_manual(tmp_path: Path) -> None:
    done = shell(sys.executable, str(ROOT / "train.py"), "--help", cwd=tmp_path)
    assert done.status == 0
    for text in ("USAGE", "GROUPS", "EXAMPLES", "* digits", "mnist", "lenet", "onecycle", "overfit"):
        assert text in done.out
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert path.stem in done.out or path.parent.name == "conf" or path.stem.startswith("_"), path


@pytest.mark.slow
@pytest.mark.realdata
def test_lenet_learns_mnist_with_the_shipped_defaults(tmp_path: Path, data_root: Path) -> None:
    done = Running(["model=lenet", "data=mnist", f"data.root={data_root}"], tmp_path).wait(280)
    assert done.status == 0, done.err
    told = summary(run_dirs(tmp_path)[0])
    assert told["metrics"]["test/acc"] >= 0.988
    assert "61,706 parameters" in done.out
    assert len(rows(run_dirs(tmp_path)[0])) == 5


@pytest.mark.realdata
def test_cifar10_trains(tmp_path: Path, data_root: Path) -> None:
    words = ["model=dense", "data=cifar10", f"data.root={data_root}", "trainer=one_batch", "trainer.accelerator=cpu"]
    done = train(tmp_path, *words)
    assert done.status == 0, done.err
    assert "45,000 training and 5,000 validation images 3×32×32" in done.out


@pytest.mark.gpu
@pytest.mark.parametrize("words", [[], ["trainer.precision=bf16-mixed"], ["compile=true"]])
def test_gpu_trains(words: list[str], tmp_path: Path) -> None:
    plain = [word for word in SMALL if not word.startswith("trainer.accelerator")]
    done = train(tmp_path, *plain, "trainer=gpu", *words)
    assert done.status == 0, done.err
    assert summary(run_dirs(tmp_path)[0])["metrics"]["test/acc"] > 0.5


def test_the_panels_command_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = {"metrics": {"test/acc": 0.5, "val/acc": 0.5}, "best_epoch": 1, "seconds": 1.0}
    report_run.closing_panel(Path("my runs") / "one", outcome)
    assert "convline dashboard 'my runs'" in capsys.readouterr().out
