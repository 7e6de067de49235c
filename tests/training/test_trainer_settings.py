"""Settings of Lightning's Trainer that work: what each does to a fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from convline.callbacks.checkpoint import BestAndLast
from convline.errors import UserError
from convline.training.classifier import Classifier
from convline.training.schedules import linear
from support.commands import assert_one_screen, run_dirs, train
from support.fitting import make_data, make_network, sgd

# 40 training images in batches of 8: five optimizer steps an epoch, in executions of four and one
STEPS_PER_EPOCH = 5


class Watch(Callback):
    """Notes the steps after which was validated, and the modes of torch in training."""

    def __init__(self) -> None:
        self.validated_at: list[int] = []
        self.modes: set[tuple[str, bool]] = set()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.modes |= {("anomaly", torch.is_anomaly_enabled()), ("benchmark", torch.backends.cudnn.benchmark)}

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.validated_at.append(trainer.global_step)


def fit(
    folder: Path, *callbacks: Callback, scheduler: Any = linear, checkpoint: Path | None = None, **settings: Any
) -> tuple[Trainer, Watch, Classifier]:
    watch, classifier = Watch(), Classifier(make_network(), sgd, scheduler)
    (folder / "checkpoints").mkdir(exist_ok=True)
    trainer = Trainer(
        **{"max_epochs": 3, **settings},
        accelerator="cpu",
        callbacks=[watch, *callbacks],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=any(isinstance(callback, BestAndLast) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(classifier, datamodule=make_data(steps_per_execution=4), ckpt_path=checkpoint, weights_only=True)
    return trainer, watch, classifier


@pytest.mark.parametrize("max_steps", [2, 5, 7, 10, 14])
def test_training_ends_at_max_steps_within_an_execution_and_is_validated_there(max_steps: int, tmp_path: Path) -> None:
    trainer, watch, classifier = fit(tmp_path, max_steps=max_steps)
    assert trainer.global_step == max_steps
    assert watch.validated_at == sorted({*range(STEPS_PER_EPOCH, max_steps, STEPS_PER_EPOCH), max_steps})
    (lr,) = classifier._schedule.scheduler.get_last_lr()
    assert lr == pytest.approx(0.0)  # the line from 0.5 to 0 ends with the run


def test_max_steps_trains_the_first_steps_of_a_longer_run(tmp_path: Path) -> None:
    from support.fitting import constant

    class Keep(Callback):
        weights: torch.Tensor

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            if trainer.global_step == 9:
                self.weights = pl_module.network[0].weight.detach().clone()

    keep = Keep()
    fit(tmp_path, keep, scheduler=constant)
    _, _, short = fit(tmp_path, scheduler=constant, max_steps=9)
    assert torch.equal(short.network[0].weight, keep.weights)


def test_max_steps_beyond_the_epochs_are_refused_with_the_epochs_that_have_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"16 is never reached: 3 epochs have 15 .*\n  Type: trainer.max_epochs=4"):
        fit(tmp_path, max_steps=16)


def test_epochs_without_validation_do_not_count_for_the_best_checkpoint(tmp_path: Path) -> None:
    best = BestAndLast("val/loss")
    _, watch, _ = fit(tmp_path, best, max_epochs=5, check_val_every_n_epoch=2)
    assert watch.validated_at == [10, 20]
    assert best.best_epoch in (2, 4)
    state = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert state["global_step"] == STEPS_PER_EPOCH * best.best_epoch
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 25


def test_without_any_validation_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    best = BestAndLast("val/acc")
    fit(tmp_path, best, max_epochs=2, check_val_every_n_epoch=3)
    assert (best.best_epoch, best.best_metrics) == (None, {})
    assert torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == 10


def test_reduce_on_plateau_steps_in_validated_epochs_alone(tmp_path: Path) -> None:
    def plateau(optimizer: Any) -> Any:
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0, threshold=1e9)

    _, _, classifier = fit(tmp_path, scheduler=plateau, max_epochs=5, check_val_every_n_epoch=2)
    assert classifier._schedule.scheduler.last_epoch == 2
    (lr,) = classifier._schedule.scheduler.get_last_lr()
    assert lr == pytest.approx(0.005)  # 0.5, and a tenth of it after each of two validations, as none is better by 1e9


def test_early_stopping_waits_for_min_epochs_and_is_not_noted_before(tmp_path: Path) -> None:
    class Stopped(Callback):
        def __init__(self) -> None:
            self.noted: list[bool] = []

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.noted.append(best.state_dict()["stopped"])

    stopping = EarlyStopping("val/loss", patience=0, min_delta=1e9)
    best, stopped = BestAndLast("val/loss"), Stopped()
    trainer, _, _ = fit(tmp_path, stopping, max_epochs=9)
    assert trainer.current_epoch == 2
    stopping = EarlyStopping("val/loss", patience=0, min_delta=1e9)
    # Lightning moves checkpoint callbacks behind all others: noted is what the epoch before wrote
    trainer, _, _ = fit(tmp_path, stopping, stopped, best, max_epochs=9, min_epochs=4)
    assert trainer.current_epoch == 4
    assert stopped.noted == [False, False, False, False]
    assert best.state_dict()["stopped"]


def test_max_time_ends_training_after_an_execution_validates_and_saves(tmp_path: Path) -> None:
    best = BestAndLast("val/acc")
    trainer, watch, _ = fit(tmp_path, best, max_epochs=1000, max_time={"milliseconds": 1})
    assert trainer.global_step in (4, 5)  # the first execution took longer, or the clock of the machine is coarse
    assert watch.validated_at == [trainer.global_step]
    assert (tmp_path / "checkpoints" / "best.ckpt").exists()


@pytest.mark.parametrize(("setting", "mode"), [("detect_anomaly", "anomaly"), ("benchmark", "benchmark")])
@pytest.mark.parametrize("value", [True, False])
def test_modes_of_torch(setting: str, mode: str, value: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    _, watch, _ = fit(tmp_path, **{setting: value})
    assert {on for name, on in watch.modes if name == mode} == {value}


class TestCommand:
    SHORT = ("callbacks=plain", "trainer=cpu", "data.per_class=20", "trainer.log_every_n_steps=1")

    def test_a_run_of_ten_steps_validated_every_other_epoch(self, tmp_path: Path) -> None:
        """200 images in batches of 32 are seven steps an epoch: the run ends in its second epoch."""
        done = train(tmp_path, "trainer.max_steps=10", "trainer.check_val_every_n_epoch=2", *self.SHORT)
        assert done.status == 0, done.err
        (run_dir,) = run_dirs(tmp_path)
        rows = (run_dir / "metrics.csv").read_text().splitlines()
        name, step = rows[0].split(",").index("val/acc"), rows[0].split(",").index("step")
        values = [(row.split(",")[step], row.split(",")[name]) for row in rows[1:]]
        assert [step for step, value in values if value] == ["10"]
        assert values[-1][0] == "10"
        first, second = [line for line in done.out.splitlines() if line.startswith("epoch ")]
        assert "val loss" not in first
        assert "val loss" in second

    @pytest.mark.slow
    def test_mistakes_take_one_screen(self, tmp_path: Path) -> None:
        assert_one_screen(train(tmp_path, "+trainer.fast_dev_run=true"), "Type: trainer=one_batch")
        assert_one_screen(train(tmp_path, "trainer.max_steps=1000", *self.SHORT), "Type: trainer.max_epochs=143")
        assert run_dirs(tmp_path) != []
