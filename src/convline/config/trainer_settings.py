"""Decide about each argument of lightning.pytorch.Trainer that the schema of the group `trainer` does not have.

It works as Lightning documents it, within a range, or it is refused with the setting that has its effect here.
"""

import re
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from convline.config.ranges import MAX_COUNT, Range, count

_BOOL = Range(lambda value: isinstance(value, bool), "true or false")
_UNITS = {"weeks", "days", "hours", "minutes", "seconds"}


def _is_time(value: Any) -> bool:
    if isinstance(value, dict):
        numbers_fit = all(type(number) in (int, float) and 0 <= number <= MAX_COUNT for number in value.values())
        return set(value) <= _UNITS and numbers_fit and sum(value.values()) > 0
    is_text = isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}:[0-9]{2}:[0-9]{2}:[0-9]{2}", value)
    return bool(is_text and re.search("[1-9]", value))


_TIME = Range(_is_time, "DD:HH:MM:SS, or such as {hours: 2}")

WORKING: dict[str, Range] = {
    "max_steps": count(1),  # optimizer steps, at which training ends if the epochs do not end before; schedules follow
    "min_epochs": count(1),
    "min_steps": count(1),
    "max_time": _TIME,
    "check_val_every_n_epoch": count(1),
    "benchmark": _BOOL,
    "detect_anomaly": _BOOL,
}

REFUSED = {
    "accumulate_grad_batches": "Convline accumulates gradients.\n  Type: classifier.accumulate_grad_batches={value}",
    "gradient_clip_val": "Convline clips gradients.\n  Type: classifier.gradient_clip_norm={value}",
    "gradient_clip_algorithm": "the norm of the whole gradient is clipped.\n  Type: classifier.gradient_clip_norm=1",
    "fast_dev_run": "a run of one batch is an option.\n  Type: trainer=one_batch",
    "barebones": "what runs beside the training is left out by name.\n  Type: '~callbacks' '~logger'",
    "callbacks": "callbacks are a group.\n  Type: +callbacks.NAME._target_=PACKAGE.CLASS",
    "logger": "loggers are a group.\n  Type: logger=csv, or +logger.NAME._target_=PACKAGE.CLASS",
    "enable_checkpointing": "checkpoints are a callback.\n  Type: '~callbacks.checkpoint' for none",
    "enable_progress_bar": "the progress bar is a callback.\n  Type: '~callbacks.progress' for none",
    "enable_model_summary": "Convline prints a summary of its own.\n"
    "  Type: +callbacks.summary._target_=lightning.pytorch.callbacks.ModelSummary for Lightning's",
    "num_sanity_val_steps": "network and data are checked before training anyway.\n"
    "  Type: trainer=one_batch to try everything once",
    "val_check_interval": "the network is validated after whole epochs.\n  Type: trainer.check_val_every_n_epoch=N",
    "inference_mode": "Lightning reads it in its own validate and test, and a run evaluates without them.\n"
    "  Leave it out; no gradients are computed in validation and test",
    "limit_predict_batches": "a run evaluates the validation and the test set.\n"
    "  Type: trainer.limit_val_batches=N trainer.limit_test_batches=N",
    "reload_dataloaders_every_n_epochs": "images are shuffled and augmented anew in each epoch.\n"
    "  Leave it out; the order and the augmentation follow from seed=N",
    "use_distributed_sampler": "each rank loads its share of every batch.\n"
    "  Leave it out; data.batch_size=N is the batch of all ranks",
    "plugins": "precision and devices are settings.\n  Type: trainer.precision=bf16-mixed, or trainer.devices=2",
    "default_root_dir": "a run directory is made in runs_dir.\n  Type: runs_dir={value}",
    "enable_autolog_hparams": "each logger gets the config once.\n  Type: logger=csv for none but metrics.csv",
    "model_registry": "checkpoints are kept in the run directory.\n  Type: runs_dir=DIR for another place",
}  # fmt: skip


def open_trainer_settings(overrides: Sequence[str]) -> list[str]:
    """Add `++` to the settings of `WORKING` and `REFUSED`, which the options of the group do not hold."""
    names = {f"trainer.{name}" for name in (*WORKING, *REFUSED)}
    return [f"++{word}" if word.partition("=")[0] in names else word for word in overrides]


def complaint_about(name: str, value: Any) -> str | None:
    """Return why an argument of Lightning's Trainer cannot have a value; None if it can.

    Raises:
        KeyError: Convline has decided nothing about an argument of this name.
    """
    if name in REFUSED:
        return f"trainer.{name}={value}: {REFUSED[name].format(value=value)}"
    allowed = WORKING[name]
    return None if allowed.holds(value) else f"trainer.{name}={value} is out of range: it must be {allowed.expected}."


def takes_cuda(cfg: DictConfig) -> bool:
    """Return whether a config lets a run use a CUDA device if there is one."""
    return cfg.trainer.accelerator in ("auto", "gpu", "cuda")
