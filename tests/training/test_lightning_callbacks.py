"""Callbacks of Lightning with our Classifier: what each does in a script of one's own, and in a run."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    DeviceStatsMonitor,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    RichProgressBar,
    StochasticWeightAveraging,
    Timer,
    TQDMProgressBar,
    WeightAveraging,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset

from convline.errors import UserError
from convline.training import Classifier
from convline.training.schedules import linear
from support.commands import assert_one_screen, run_dirs, train
from support.fitting import images_and_labels, make_data, make_network, sgd

LIGHTNING = "lightning.pytorch.callbacks"


def loader_of(split: str) -> DataLoader:
    data = make_data()
    data.read()
    images, labels = images_and_labels(data, data.val_indices if split == "val" else data.train_indices)
    return DataLoader(TensorDataset(images, labels), batch_size=8)


class Weights(Callback):
    """Notes the trained weights after each optimizer step, and those that are validated."""

    def __init__(self) -> None:
        self.trained: list[torch.Tensor] = []
        self.validated: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.trained.append(pl_module.network[0].weight.detach().clone())

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.validated.append(pl_module.network[0].weight.detach().clone())


def fit(folder: Path, callbacks: Sequence[Callback], epochs: int = 2, **settings: Any) -> tuple[pl.Trainer, Classifier]:
    """Five optimizer steps an epoch in a Trainer of one's own."""
    classifier = Classifier(make_network(batch_norm=True), sgd, linear)
    trainer = pl.Trainer(
        **{"logger": False, "enable_progress_bar": False, **settings},
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        default_root_dir=folder,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        num_sanity_val_steps=0,
    )
    trainer.fit(classifier, loader_of("train"), loader_of("val"))
    return trainer, classifier


class TestScript:
    @pytest.mark.parametrize(
        "callback",
        [
            StochasticWeightAveraging(0.1),
            LearningRateFinder(),
            BatchSizeFinder(),
            GradientAccumulationScheduler({1: 2}),
            BackboneFinetuning(),
        ],
        ids=lambda callback: type(callback).__name__,
    )
    def test_what_does_something_else_than_it_says_is_refused(self, callback: Callback, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=rf"^{type(callback).__name__} does not work with Classifier: .+\n  Type: "):
            fit(tmp_path, [callback])

    def test_exponential_moving_average_is_the_one_by_hand_validated_and_left_at_the_end(self, tmp_path: Path) -> None:
        weights = Weights()
        _, classifier = fit(tmp_path, [weights, EMAWeightAveraging(decay=0.8)])
        average = weights.trained[0]
        for trained in weights.trained[1:]:
            average = 0.8 * average + 0.2 * trained
        assert len(weights.trained) == 10
        torch.testing.assert_close(weights.validated[-1], average)
        torch.testing.assert_close(classifier.network[0].weight.detach(), average)  # type: ignore[index]

    def test_weight_averaging_is_the_mean_of_all_steps(self, tmp_path: Path) -> None:
        weights = Weights()
        _, classifier = fit(tmp_path, [weights, WeightAveraging()])
        torch.testing.assert_close(classifier.network[0].weight.detach(), torch.stack(weights.trained).mean(0))  # type: ignore[index]

    def test_checkpoints_every_few_steps(self, tmp_path: Path) -> None:
        weights = Weights()
        kept = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=4, save_top_k=-1, filename="{step}")
        fit(tmp_path, [weights, kept])
        files = sorted((tmp_path / "kept").glob("*.ckpt"))
        assert [file.stem for file in files] == ["step=4", "step=8"]
        state = torch.load(files[1], weights_only=True)["state_dict"]
        assert torch.equal(state["network.0.weight"], weights.trained[7])

    def test_timer(self, tmp_path: Path) -> None:
        timer = Timer({"milliseconds": 1}, interval="epoch")
        trainer, _ = fit(tmp_path, [timer], epochs=1000)
        assert trainer.current_epoch == 1
        assert timer.time_elapsed() > 0.001

    def test_pruning_leaves_the_share_of_zeros_that_it_names(self, tmp_path: Path) -> None:
        pruning = ModelPruning(
            "l1_unstructured", parameter_names=["weight"], amount=0.5, use_lottery_ticket_hypothesis=False
        )
        _, classifier = fit(tmp_path, [pruning], epochs=1)
        weights = [classifier.network[0].weight, classifier.network[1].weight, classifier.network[4].weight]  # type: ignore[index]
        zeros, total = sum(int((w == 0).sum()) for w in weights), sum(w.numel() for w in weights)
        assert zeros == total // 2

    @pytest.mark.parametrize("kind", [RichProgressBar, TQDMProgressBar])
    def test_progress_bars_count_our_batches(
        self, kind: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        fit(tmp_path, [kind()], enable_progress_bar=True)
        out, err = capfd.readouterr()
        assert "5/5" in out + err

    def test_device_statistics(self, tmp_path: Path) -> None:
        fit(tmp_path, [DeviceStatsMonitor()], logger=pl.loggers.CSVLogger(tmp_path), log_every_n_steps=1)
        (file,) = tmp_path.rglob("metrics.csv")
        assert "cpu_percent" in file.read_text()


class TestRun:
    SHORT = ("callbacks=plain", "trainer=cpu", "trainer.max_epochs=2", "data.per_class=20")

    @pytest.mark.parametrize(
        ("name", "arguments", "message"),
        [
            ("GradientAccumulationScheduler", "scheduling: {0: 2}", "Type: classifier.accumulate_grad_batches=4"),
            *(
                pytest.param(*row, marks=pytest.mark.slow)
                for row in [
                    ("StochasticWeightAveraging", "swa_lrs: 0.1", "Type: classifier.ema_decay=0.999"),
                    ("LearningRateFinder", "", "Type: convline lr-find"),
                    ("BatchSizeFinder", "", "Type: convline batch-size-find"),
                    ("BackboneFinetuning", "", "optimizer.groups"),
                    ("ModelPruning", "pruning_fn: l1_unstructured", "masks are not in checkpoints"),
                    ("TQDMProgressBar", "", "Type: '~callbacks.progress'"),
                    ("ModelCheckpoint", "save_last: true", "callbacks.own.dirpath=DIR"),
                ]
            ),
        ],
    )
    def test_refused_before_training(self, name: str, arguments: str, message: str, tmp_path: Path) -> None:
        own = f"+callbacks.own={{_target_: {LIGHTNING}.{name}{', ' if arguments else ''}{arguments}}}"
        assert_one_screen(train(tmp_path, own, *self.SHORT), message)
        assert run_dirs(tmp_path) == []

    @pytest.mark.slow
    def test_the_moving_average_is_tested_and_goes_on_after_an_interruption(self, tmp_path: Path) -> None:
        """With decay 0 the average is the last network itself; with 0.9 another one, and resumed the same again."""
        kill = "+callbacks.kill={_target_: support.kill_at.KillAt, step: 9, signum: 15}"
        results = {}
        for name, words in {
            "none": [],
            "0": [f"+callbacks.ema={{_target_: {LIGHTNING}.EMAWeightAveraging, decay: 0.0}}"],
            "0.9": [f"+callbacks.ema={{_target_: {LIGHTNING}.EMAWeightAveraging, decay: 0.9}}"],
            "resumed": [f"+callbacks.ema={{_target_: {LIGHTNING}.EMAWeightAveraging, decay: 0.9}}", kill],
        }.items():
            done = train(tmp_path, f"name={name}", *words, *self.SHORT)
            (run_dir,) = (path for path in run_dirs(tmp_path) if path.name.endswith(f"_{name}"))
            if name == "resumed":
                assert done.status == 143, done.err
                done = train(tmp_path, f"resume={run_dir}")
            assert done.status == 0, done.err
            results[name] = json.loads((run_dir / "summary.json").read_text())["metrics"]["test/loss"]
        assert results["0"] == pytest.approx(results["none"], rel=1e-6)
        assert results["0.9"] != pytest.approx(results["none"], rel=1e-3)
        assert results["resumed"] == results["0.9"]

    @pytest.mark.slow
    @pytest.mark.parametrize("bar", ["RichProgressBar", "TQDMProgressBar"])
    def test_lightnings_bars_instead_of_ours(self, bar: str, tmp_path: Path) -> None:
        own = f"+callbacks.bar={{_target_: {LIGHTNING}.{bar}}}"
        done = train(tmp_path, "~callbacks.progress", own, *self.SHORT)
        assert done.status == 0, done.err
        assert "7/7" in done.out + done.err

    @pytest.mark.slow
    def test_device_statistics_and_a_timer_beside_checkpoints_of_lightning(self, tmp_path: Path) -> None:
        stats = f"+callbacks.stats={{_target_: {LIGHTNING}.DeviceStatsMonitor}}"
        top = f"+callbacks.top={{_target_: {LIGHTNING}.ModelCheckpoint, monitor: val/loss, save_top_k: 1}}"
        timer = f"+callbacks.timer={{_target_: {LIGHTNING}.Timer, duration: '00:01:00:00'}}"
        done = train(tmp_path, stats, top, timer, "trainer.log_every_n_steps=1", *self.SHORT)
        assert done.status == 0, done.err
        (run_dir,) = run_dirs(tmp_path)
        assert {path.name for path in (run_dir / "checkpoints").glob("[bl]*.ckpt")} == {"best.ckpt", "last.ckpt"}
        assert len(list(run_dir.rglob("epoch=*.ckpt"))) == 1
        events = EventAccumulator(str(run_dir)).Reload()
        assert any("cpu_percent" in tag for tag in events.Tags()["scalars"])


logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
