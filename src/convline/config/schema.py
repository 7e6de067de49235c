"""What each config group may hold, as dataclasses: unknown keys and wrong types are refused by name.

They hold types and meanings, never values: a value has one home, the YAML file. The `model` group has no schema, since
a pattern's variables are the user's own; `build_network` checks those. Ranges are in `ranges.py`.
"""

import re
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from convline.config.class_folders import count_classes
from convline.config.schema_callbacks import CALLBACKS

OF_SWEEPS = ("rerun", "fail_fast", "workers", "sweep")  # settings of the root that say how many runs are done, not what


def is_of_sweeps(word: str) -> bool:
    """Whether an override such as `workers=2` or `sweep.trials=5` sets one of those."""
    return re.split(r"[=./@]", word.lstrip("+~"), maxsplit=1)[0] in OF_SWEEPS


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
    tta: str | None = MISSING  # test-time augmentation, reported beside the plain figure: flip, flip+shift or null
    debug: bool = MISSING  # show the traceback of a user's mistake too
    rerun: str = MISSING  # "none" also takes what another version of the code has done as it is
    fail_fast: bool = MISSING  # end at the first job that fails
    workers: int = MISSING  # processes that do jobs side by side
    sweep: Any = MISSING


@dataclass
class Classifier:
    """`convline.training.classifier.Classifier`, less what other groups give."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    label_smoothing: float = MISSING  # mass taken from the true class and spread over all, in [0, 1)
    class_weights: str = MISSING  # none, or balanced: rare classes count as much as frequent ones in the training loss
    accumulate_grad_batches: int = MISSING  # batches whose gradients are averaged into one optimizer step
    gradient_clip_norm: float | None = MISSING  # largest L2 norm of the whole gradient; null: no clipping
    ema_decay: float | None = MISSING  # per optimizer step; null: evaluate the trained weights themselves


@dataclass
class Data:
    """`convline.data.datamodule.DataModule` over a source that needs no folder."""

    _target_: str = MISSING
    source: Any = MISSING
    channels: int = MISSING  # that the network sees: 3 repeats grey images
    image_size: int = MISSING  # height and width that the network sees: images of another size are resized
    input_shape: list[int] = MISSING  # channels, height, width; set it itself for images that are not square
    num_classes: int = MISSING
    batch_size: int = MISSING  # images a step, on each device
    eval_batch_size: int = MISSING  # images a forward pass in validation and test
    normalize: str = MISSING  # standard: mean 0 and deviation 1 by channel, of the training images; unit: pixels / 255
    val: str = MISSING  # which images of the official training set validate: stratified, or the first ones
    val_fraction: float = MISSING  # ... so much of it
    val_size: int | None = MISSING  # ... or so many images
    fold: int | None = MISSING  # ... or one of `num_folds` stratified parts, for cross-validation
    num_folds: int = MISSING
    train_fraction: float | None = MISSING  # train on so much of the rest, stratified; 0.1 is a part of 0.2
    per_class: int | None = MISSING  # ... or on so many images of each class
    label_noise: float = MISSING  # share of the training labels that are replaced by wrong ones
    imbalance: float = MISSING  # images of the most frequent class for one of the rarest: a long tail; 1: as they are
    split_seed: int = MISSING  # of all this: apart from `seed`, so that seeds are compared on one split
    augment: Any = MISSING  # operations on training images: [flip, crop(4)]
    loader: str = MISSING  # resident: the data lie on the device; dataloader: workers bring them; auto: by their size
    num_workers: int = MISSING  # processes of the latter


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
    """A function of `convline.training.schedules`."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    warmup: float = MISSING  # fraction of the run in which the factor rises linearly to 1


@dataclass
class StepSchedule(Schedule):
    """`convline.training.schedules.step`."""

    every: int = MISSING  # epochs between two drops
    gamma: float = MISSING  # factor of each drop


@dataclass
class DecaySchedule(Schedule):
    """`convline.training.schedules.cosine` and `linear`."""

    final: float = MISSING


@dataclass
class OneCycleSchedule(Schedule):
    """`convline.training.schedules.onecycle`."""

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
class Sweep:
    """A search by `convline.sweeps.search`."""

    sampler: Any = MISSING  # of Optuna
    pruner: Any = None  # null: every trial is trained to its end
    trials: int = MISSING  # in all, those of earlier commands included
    seed: int = MISSING  # of what is tried; not of the runs
    objectives: list[str] = MISSING  # each of val/acc, val/loss, parameters, macs, seconds
    storage: str | None = MISSING  # URL of a database, as SQLAlchemy has it; null: study.db in the sweep's folder
    space: dict[str, str] = MISSING  # setting: what may be typed for it, such as tag(log, interval(0.001, 0.1))


SCHEMAS = {
    **CALLBACKS,
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
    "sweep": Sweep,
}


def register() -> None:
    """Put the schemas where the defaults lists of `conf/` find them: `/schema/NAME`; and what `conf/` computes with."""
    store = ConfigStore.instance()
    for name, node in SCHEMAS.items():
        store.store(group="schema", name=name, node=node)
    OmegaConf.register_new_resolver("count_classes", count_classes, replace=True)
