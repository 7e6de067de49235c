"""Which values a setting may have: what types and schemas let through, and no run could use."""

import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convline.config.class_folders import LAYOUT
from convline.config.schema import Train, is_of_sweeps
from convline.errors import UserError, user_error_in
from convline.formatting import first_line, nearest


def _above(low: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: low < value < math.inf, f"above {low:g} and finite"


def _at_least(low: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: low <= value < math.inf, f"at least {low:g} and finite"


def _one_of(*options: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in options, "one of " + ", ".join(options)


_FRACTION: tuple[Callable[[Any], bool], str] = (lambda value: 0 <= value < 1, "at least 0 and below 1")

RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (lambda value: 0 <= value < 2**32, "from 0 to 4294967295"),
    "steps_per_execution": _at_least(1),
    "threads": _at_least(1),
    "rerun": _one_of("all", "failed", "none"),
    "workers": _at_least(1),
    "sweep.trials": _at_least(1),
    "sweep.seed": (lambda value: 0 <= value < 2**32, "from 0 to 4294967295"),
    "tta": _one_of("flip", "flip+shift"),
    "classifier.label_smoothing": _FRACTION,
    "classifier.class_weights": _one_of("none", "balanced"),
    "classifier.accumulate_grad_batches": _at_least(1),
    "classifier.gradient_clip_norm": _above(0),
    "classifier.ema_decay": (lambda value: 0 < value < 1, "above 0 and below 1"),
    "data.batch_size": _at_least(1),
    "data.eval_batch_size": _at_least(1),
    "data.val_fraction": (lambda value: 0 < value < 1, "above 0 and below 1"),
    "data.channels": _at_least(1),
    "data.image_size": _at_least(1),
    "data.val": _one_of("stratified", "first"),
    "data.val_size": _at_least(1),
    "data.fold": _at_least(0),
    "data.num_folds": _at_least(2),
    "data.train_fraction": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "data.per_class": _at_least(1),
    "data.label_noise": _FRACTION,
    "data.imbalance": _at_least(1),
    "data.split_seed": _at_least(0),
    "data.loader": _one_of("auto", "resident", "dataloader"),
    "data.num_workers": _at_least(0),
    "data.num_classes": _at_least(2),
    "data.normalize": _one_of("standard", "unit"),
    "data.source.split": _one_of("letters", "balanced"),
    "data.source.resize": _one_of("crop", "squash"),
    "data.source.test_fraction": (lambda value: 0 < value < 1, "above 0 and below 1"),
    "data.source.test_seed": _at_least(0),
    "data.source.broken": _one_of("refuse", "skip"),
    "optimizer.lr": _above(0),
    "optimizer.weight_decay": _at_least(0),
    "optimizer.momentum": _FRACTION,
    "optimizer.alpha": _FRACTION,
    "optimizer.eps": _above(0),
    "optimizer.betas": (lambda value: len(value) == 2 and all(0 <= b < 1 for b in value), "two numbers in [0, 1)"),
    "scheduler.warmup": _FRACTION,
    "scheduler.final": _at_least(0),
    "scheduler.initial": _above(0),
    "scheduler.gamma": _above(0),
    "scheduler.every": _at_least(1),
    "trainer.accelerator": _one_of("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.precision": _one_of("32-true", "bf16-mixed"),
    "trainer.devices": _at_least(1),
    "trainer.max_epochs": _at_least(1),
    "trainer.log_every_n_steps": _at_least(1),
    "trainer.limit_train_batches": _at_least(1),
    "trainer.limit_val_batches": _at_least(1),
    "trainer.limit_test_batches": _at_least(1),
    "trainer.overfit_batches": _at_least(0),
    "callbacks.checkpoint.monitor": _one_of("val/acc", "val/loss", "train/acc", "train/loss"),
    "callbacks.checkpoint.every_n_steps": _at_least(1),
    "callbacks.training_images.rows": _at_least(1),
    "callbacks.training_images.columns": _at_least(1),
    "callbacks.histograms.times": _at_least(1),
    "callbacks.histograms.num_images": _at_least(1),
    "callbacks.projector.num_images": _at_least(3),
    "callbacks.pictures.times": _at_least(1),
    "callbacks.early_stopping.monitor": _one_of("val/acc", "val/loss", "train/acc", "train/loss"),
    "callbacks.early_stopping.mode": _one_of("min", "max"),
    "callbacks.early_stopping.patience": _at_least(0),
}


def check(cfg: DictConfig) -> None:
    """Refuse what the types let through: settings that nobody reads, groups taken out, values that no run could use.

    Raises:
        UserError: names the key, its value and what it may be.
    """
    known = {field.name for field in fields(Train)}
    for key in map(str, cfg):
        if key not in known:
            raise UserError(f"'{key}': nothing reads a setting of this name{nearest(key, known)}.")
    for key in ("data", "model", "classifier", "optimizer", "scheduler", "trainer"):
        if OmegaConf.is_missing(cfg, key) or not OmegaConf.is_dict(cfg[key]):
            raise UserError(
                f"'{key}' was taken out or replaced by a value, but a run needs it: choose one with {key}=NAME"
            )
    _check_complete(cfg)
    _check_values(cfg, RANGES)
    if OmegaConf.select(cfg, "optimizer.nesterov") and not cfg.optimizer.momentum:
        raise UserError("optimizer.nesterov=true has no effect without momentum: add optimizer.momentum=0.9")
    stopping = OmegaConf.select(cfg, "callbacks.early_stopping")
    if stopping and (stopping.mode == "min") != stopping.monitor.endswith("loss"):
        right = "min" if stopping.monitor.endswith("loss") else "max"
        raise UserError(
            f"callbacks.early_stopping.mode={stopping.mode} would stop when {stopping.monitor} gets better.\n"
            f"  Type: callbacks.early_stopping.mode={right}"
        )


def check_of_sweeps(cfg: DictConfig) -> None:
    """Refuse values of the settings that are of sweeps alone; those of single runs may have several values still.

    Raises:
        UserError: names the key, its value and what it may be.
    """
    _check_values(cfg, filter(is_of_sweeps, RANGES))


def _check_values(cfg: DictConfig, keys: Iterable[str]) -> None:
    for key in keys:
        holds, expected = RANGES[key]
        value = OmegaConf.select(cfg, key)
        if value is not None and not holds(value):
            raise UserError(f"{key}={value} is out of range: it must be {expected}.")


def _check_complete(cfg: DictConfig) -> None:
    """Refuse settings without a value, and references that cannot be followed."""
    if OmegaConf.is_missing(cfg.data, "root"):
        raise UserError(f"data.root has no value: name the folder that holds your images.\n{LAYOUT}")
    try:
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        if mistake := user_error_in(error):  # a folder whose classes cannot be counted
            raise mistake from error
        raise UserError(f"a setting has no value: {first_line(error)}") from error
