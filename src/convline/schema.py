"""What each config group may hold, as dataclasses: unknown keys and wrong types are refused by name.

They hold types and meanings, never values: a value has one home, the YAML file. The `model` group has no schema, since
a pattern's variables are the user's own; `build_network` checks those. Ranges are in `RANGES`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convline.errors import UserError, first_line, nearest


@dataclass
class Train:
    """The root of the config."""

    data: Any = MISSING
    model: Any = MISSING
    classifier: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    trainer: Any = MISSING
    callbacks: Any = None  # ~callbacks: none at all
    logger: Any = None
    seed: int = MISSING  # of weights, order of images and dropout; 0 is a seed
    compile: bool = MISSING  # torch.compile the network: pays on a GPU, a loss for small networks on a CPU
    threads: int | None = MISSING  # of the processor, for one operator; null: torch decides
    channels_last: bool = MISSING  # memory format of images and convolutions
    steps_per_execution: int = MISSING  # optimizer steps taken between two visits of the callbacks
    runs_dir: str = MISSING  # where run directories are made
    name: str | None = None  # of the run directory; MODEL_DATA if null
    debug: bool = MISSING  # show the traceback of a user's mistake too


@dataclass
class Classifier:
    """`convline.classifier.Classifier`, less what other groups give."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    label_smoothing: float = MISSING  # mass taken from the true class and spread over all, in [0, 1)
    accumulate_grad_batches: int = MISSING  # batches whose gradients are averaged into one optimizer step
    gradient_clip_norm: float | None = MISSING  # largest L2 norm of the whole gradient; null: no clipping
    ema_decay: float | None = MISSING  # per optimizer step; null: evaluate the trained weights themselves


@dataclass
class Data:
    """`convline.data.module.DataModule` over a source that needs no folder."""

    _target_: str = MISSING
    source: Any = MISSING
    input_shape: list[int] = MISSING  # channels, height, width
    num_classes: int = MISSING
    batch_size: int = MISSING  # images a step, on each device
    eval_batch_size: int = MISSING  # images a forward pass in validation and test
    val_fraction: float = MISSING  # of each class of the official training set
    split_seed: int = MISSING  # of the validation split: apart from `seed`, so that seeds are compared on one split


@dataclass
class FolderData(Data):
    """... over a source that reads, or downloads, files below `root`."""

    root: str = MISSING


@dataclass
class Optimizer:
    """Common to all optimizers of torch.optim."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    lr: float = MISSING  # peak learning rate, before the schedule's factor
    weight_decay: float = MISSING
    fused: bool | None = MISSING  # one kernel for all parameters; null: torch decides


@dataclass
class Sgd(Optimizer):
    """torch.optim.SGD."""

    momentum: float = MISSING
    nesterov: bool = MISSING


@dataclass
class Adam(Optimizer):
    """torch.optim.Adam and AdamW."""

    betas: list[float] = MISSING
    eps: float = MISSING


@dataclass
class RmsProp:
    """torch.optim.RMSprop, which has no fused form."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    lr: float = MISSING
    weight_decay: float = MISSING
    alpha: float = MISSING  # smoothing of the squared gradient (Keras: rho)
    eps: float = MISSING
    momentum: float = MISSING


@dataclass
class Schedule:
    """A function of `convline.optim`."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    warmup: float = MISSING  # fraction of the run in which the factor rises linearly to 1


@dataclass
class StepSchedule(Schedule):
    """`convline.optim.step`."""

    every: int = MISSING  # epochs between two drops
    gamma: float = MISSING  # factor of each drop


@dataclass
class DecaySchedule(Schedule):
    """`convline.optim.cosine` and `linear`."""

    final: float = MISSING


@dataclass
class OneCycleSchedule(Schedule):
    """`convline.optim.onecycle`."""

    initial: float = MISSING
    final: float = MISSING


@dataclass
class Trainer:
    """lightning.pytorch.Trainer, with the limits counted in batches, which the data module keeps."""

    _target_: str = MISSING
    accelerator: str = MISSING
    devices: int = MISSING
    precision: str = MISSING
    max_epochs: int = MISSING
    deterministic: bool = MISSING
    log_every_n_steps: int = MISSING  # optimizer steps between two points of the step curves
    limit_train_batches: int | None = MISSING
    limit_val_batches: int | None = MISSING
    limit_test_batches: int | None = MISSING
    overfit_batches: int = MISSING  # train and validate on these first batches alone; 0: off
    profiler: Any = None


@dataclass
class Checkpoint:
    """`convline.callbacks.checkpoint.BestAndLast`."""

    _target_: str = MISSING
    monitor: str = MISSING
    every_n_steps: int | None = MISSING  # also within an epoch; null: at its end only


@dataclass
class Progress:
    """`convline.callbacks.progress.Progress`."""

    _target_: str = MISSING


@dataclass
class Throughput:
    """`convline.callbacks.throughput.Throughput`."""

    _target_: str = MISSING


@dataclass
class HParams:
    """`convline.callbacks.hparams.HParams`."""

    _target_: str = MISSING


@dataclass
class EarlyStopping:
    """lightning.pytorch.callbacks.EarlyStopping."""

    _target_: str = MISSING
    monitor: str = MISSING
    mode: str = MISSING
    patience: int = MISSING  # epochs without improvement
    min_delta: float = MISSING


SCHEMAS = {
    "train": Train,
    "classifier": Classifier,
    "data": Data,
    "folder_data": FolderData,
    "sgd": Sgd,
    "adam": Adam,
    "rmsprop": RmsProp,
    "schedule": Schedule,
    "step_schedule": StepSchedule,
    "decay_schedule": DecaySchedule,
    "onecycle_schedule": OneCycleSchedule,
    "trainer": Trainer,
    "checkpoint": Checkpoint,
    "progress": Progress,
    "throughput": Throughput,
    "hparams": HParams,
    "early_stopping": EarlyStopping,
}


def register() -> None:
    """Put the schemas where the defaults lists of `conf/` find them: `/schema/NAME`."""
    store = ConfigStore.instance()
    for name, node in SCHEMAS.items():
        store.store(group="schema", name=name, node=node)


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
    "classifier.label_smoothing": _FRACTION,
    "classifier.accumulate_grad_batches": _at_least(1),
    "classifier.gradient_clip_norm": _above(0),
    "classifier.ema_decay": (lambda value: 0 < value < 1, "above 0 and below 1"),
    "data.batch_size": _at_least(1),
    "data.eval_batch_size": _at_least(1),
    "data.val_fraction": (lambda value: 0 < value < 1, "above 0 and below 1"),
    "data.split_seed": _at_least(0),
    "data.num_classes": _at_least(2),
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
    try:
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(f"a setting has no value: {first_line(error)}") from error
    for key, (holds, expected) in RANGES.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and not holds(value):
            raise UserError(f"{key}={value} is out of range: it must be {expected}.")
    if OmegaConf.select(cfg, "optimizer.nesterov") and not cfg.optimizer.momentum:
        raise UserError("optimizer.nesterov=true has no effect without momentum: add optimizer.momentum=0.9")
    stopping = OmegaConf.select(cfg, "callbacks.early_stopping")
    if stopping and (stopping.mode == "min") != stopping.monitor.endswith("loss"):
        right = "min" if stopping.monitor.endswith("loss") else "max"
        raise UserError(
            f"callbacks.early_stopping.mode={stopping.mode} would stop when {stopping.monitor} gets better.\n"
            f"  Type: callbacks.early_stopping.mode={right}"
        )
