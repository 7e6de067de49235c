"""Every setting with a range: one value that it allows, one that it refuses, at the bounds."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from convline.config import load_config
from convline.config.compose import compose_config
from convline.config.ranges import Range, ranges_of
from convline.errors import UserError

# setting: (a value at the edge of its range, one just beyond), worked out by hand
BOUNDS: dict[str, tuple[Any, Any]] = {
    "seed": (4294967295, 4294967296),
    "steps_per_execution": (1, 0),
    "threads": (1024, 1025),
    "rerun": ("failed", "some"),
    "workers": (1, 0),
    "tta": ("flip+shift", "shift"),
    "sweep.trials": (1, 0),
    "sweep.seed": (0, -1),
    "classifier.label_smoothing": (0.0, 1.0),
    "classifier.class_weights": ("balanced", "inverse"),
    "classifier.accumulate_grad_batches": (1, 0),
    "classifier.loss_reduction": ("sum", "max"),
    "classifier.gradient_clip_norm": (1e-9, 0.0),
    "classifier.ema_decay": (0.999, 1.0),
    "data.batch_size": (1, 0),
    "data.eval_batch_size": (1, 0),
    "data.channels": (1, 0),
    "data.image_size": (1, 0),
    "data.num_classes": (2, 1),
    "data.normalize": ("unit", "none"),
    "data.val": ("first", "last"),
    "data.val_fraction": (0.5, 1.0),
    "data.val_size": (1, 0),
    "data.fold": (0, -1),
    "data.num_folds": (2, 1),
    "data.train_fraction": (1.0, 0.0),
    "data.per_class": (1, 0),
    "data.label_noise": (0.0, 1.0),
    "data.imbalance": (1.0, 0.99),
    "data.split_seed": (0, -1),
    "data.loader": ("resident", "memory"),
    "data.num_workers": (0, -1),
    "data.source.split": ("letters", "digits"),
    "data.source.resize": ("squash", "stretch"),
    "data.source.test_fraction": (0.5, 0.0),
    "data.source.test_seed": (0, -1),
    "data.source.broken": ("skip", "ignore"),
    "data.source.shape": ([1, 8, 8], [8, 8]),
    "data.source.num_train": (1, 0),
    "data.source.num_test": (10**9, 10**9 + 1),
    "data.source.num_classes": (2, 1),
    "data.source.noise": (0.0, -1e-9),
    "data.source.seed": (0, -1),
    "data.input_shape": ([1, 8, 8], [1, 0, 8]),
    "loss.gamma": (0.0, -1e-9),
    "logger.tensorboard.name": ("", "a"),
    "logger.tensorboard.version": ("", "a"),
    "name": ("größer", "a\0b"),
    "sweep.sampler": ({"_target_": "optuna.samplers.TPESampler"}, 5),
    "sweep.pruner": ({"_target_": "optuna.pruners.MedianPruner"}, {"a": 1}),
    "trainer.profiler": ("simple", "none"),
    "optimizer.lr": (1e-9, 0.0),
    "optimizer.weight_decay": (0.0, -1e-9),
    "optimizer.momentum": (0.0, 1.0),
    "optimizer.betas": ([0.0, 0.999], [0.9, 1.0]),
    "optimizer.eps": (1.0, 1.1),
    "optimizer.alpha": (0.0, 1.0),
    "optimizer.no_decay": (["norms", "biases"], ["weights"]),
    "optimizer.groups": ({"fc1": {"lr": 0.1}}, {"fc1": 5}),
    "optimizer.layer_decay": (1.0, 0.0),
    "optimizer.rest_lr": (1e-9, 0.0),
    "optimizer.rest_betas": ([0.0, 0.999], [0.9, 1.0]),
    "optimizer.rest_weight_decay": (0.0, -1e-9),
    "scheduler.warmup": (0.0, 1.0),
    "scheduler.every": (1, 0),
    "scheduler.gamma": (1.0, 1.1),
    "scheduler.initial": (1e-9, 0.0),
    "scheduler.final": (0.0, -1e-9),
    "trainer.accelerator": ("mps", "tpu"),
    "trainer.devices": ("auto", 0),
    "trainer.num_nodes": (1, 0),
    "trainer.strategy": ("ddp", "fsdp"),
    "trainer.rendezvous_minutes": (0.5, 0),
    "trainer.precision": ("bf16-mixed", "fp8"),
    "trainer.max_epochs": (1, 0),
    "trainer.log_every_n_steps": (1, 0),
    "trainer.limit_train_batches": (1, 0),
    "trainer.limit_val_batches": (1, 0),
    "trainer.limit_test_batches": (1, 0),
    "trainer.overfit_batches": (0, -1),
    "callbacks.checkpoint.every_n_steps": (1, 0),
    "callbacks.training_images.rows": (1, 0),
    "callbacks.training_images.columns": (1, 0),
    "callbacks.histograms.times": (1, 0),
    "callbacks.histograms.num_images": (1, 0),
    "callbacks.projector.num_images": (3, 2),
    "callbacks.pictures.times": (1, 0),
    "callbacks.early_stopping.mode": ("max", "up"),
    "callbacks.early_stopping.patience": (0, -1),
    "callbacks.early_stopping.min_delta": (0.0, -1e-9),
}
# Together these configs have every setting that has a range.
CONFIGS = (
    ("optimizer=adam", "scheduler=step", "callbacks=early_stopping"),
    ("optimizer=rmsprop", "scheduler=onecycle"),
    ("optimizer=muon",),
    ("data=emnist_letters",),
    ("data=folder",),
    ("data=synthetic", "loss=focal"),
)


def declared() -> dict[str, Range]:
    return {key: bounds for overrides in CONFIGS for key, bounds in ranges_of(compose_config(overrides)[0]).items()}


def test_the_table_has_every_setting_with_a_range() -> None:
    assert set(declared()) == set(BOUNDS)


@pytest.mark.parametrize("key", BOUNDS)
def test_bounds(key: str) -> None:
    allowed, refused = BOUNDS[key]
    bounds = declared()[key]
    assert bounds.holds(allowed)
    assert not bounds.holds(refused)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_no_range_of_numbers_holds_what_is_not_finite(value: float) -> None:
    for key, bounds in declared().items():
        if isinstance(BOUNDS[key][0], int | float):
            assert not bounds.holds(value), key


def test_value_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"optimizer.lr=0.0 is out of range: it must be above 0 and finite"):
        load_config(["optimizer.lr=0"])


def test_null_is_in_range_where_the_type_allows_it() -> None:
    assert OmegaConf.select(load_config(["threads=null", "tta=null"]), "tta") is None
