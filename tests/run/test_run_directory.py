"""What one run leaves in its directory, and what it says."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from support.commands import SMALL, Done, convline, run_dirs, train
from support.run_files import rows, summary


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
        assert settings["model"].string_value.startswith("lenet with pattern=CONV(4) -> ")
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
