"""Declare what each config group may hold, as dataclasses, so that unknown keys and wrong types are refused by name.

A schema holds the type, the range and the meaning of each setting, and no value: a value has one home, the YAML file.
The `model` group has no schema, because a pattern's variables are the user's own; `build_network` checks those.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from convline.config.first_batch import first_batch
from convline.config.label_files import count_classes
from convline.config.ranges import (
    BETAS,
    FRACTION,
    MAX_COUNT,
    OPEN_FRACTION,
    SEED,
    SHARE,
    Range,
    above,
    any_with,
    at_least,
    between,
    count,
    declared_ranges,
    one_of,
    shipped_with,
    some_of,
    within,
)
from convline.config.schema_callbacks import CALLBACKS

MAX_THREADS = 1024  # threads, worker processes or machines; with a hundred thousand threads the interpreter dies
MAX_NAME = 150  # bytes; a folder's name has at most 255, and the time, a number and endings of files are added
SHAPE = Range(
    lambda value: len(value) == 3 and all(type(side) is int and 1 <= side <= MAX_COUNT for side in value),
    "three whole numbers above 0: channels, height, width",
)
NAME = Range(
    lambda value: value.strip() and value.isprintable() and len(value.encode(errors="replace")) <= MAX_NAME,
    f"a name for a folder: 1 to {MAX_NAME} bytes without control characters",
)
GROUPS = Range(
    lambda value: isinstance(value, Mapping) and all(isinstance(settings, Mapping) for settings in value.values()),
    "a mapping of patterns to settings, such as {fc*: {lr: 0.01}}",
)
EMPTY = Range(
    lambda value: value == "", "empty: events lie in the run directory, where reports and dashboards read them"
)
NODE = Range(
    lambda value: isinstance(value, Mapping) and "_target_" in value, "NAME of an option, or {_target_: CLASS}"
)

OF_SWEEPS = ("rerun", "fail_fast", "workers", "sweep")  # top-level settings that do not change what a single run does


CROSS_ENTROPY = "convline.training.losses.CrossEntropy"  # the loss that has label smoothing and class weights
# losses of a softmax, in which the classes exclude each other
ONE_LABEL_LOSSES = (CROSS_ENTROPY, "convline.training.losses.Focal", "convline.training.losses.SquaredError")


def is_of_sweeps(word: str) -> bool:
    """Return whether an override, such as `workers=2` or `sweep.trials=5`, sets one of `OF_SWEEPS`."""
    return re.split(r"[=./@]", word.lstrip("+~"), maxsplit=1)[0] in OF_SWEEPS


@dataclass
class Classifier:
    """Configure `convline.training.classifier.Classifier`, except for what other groups provide."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    label_smoothing: float = within(FRACTION)  # probability moved from the true class to all classes evenly
    # none, or balanced: rare classes count as much as frequent ones in the training loss
    class_weights: str = within(one_of("none", "balanced"))
    accumulate_grad_batches: int = within(count(1))  # batches whose gradients are averaged into one optimizer step
    # mean or sum, over the images of an optimizer step: what the gradient is taken of; metrics are means
    loss_reduction: str = within(one_of("mean", "sum"))
    gradient_clip_norm: float | None = within(above(0))  # largest L2 norm of the whole gradient; null: no clipping
    ema_decay: float | None = within(OPEN_FRACTION)  # per optimizer step; null: evaluate the trained weights themselves


@dataclass
class Data:
    """Configure `convline.data.datamodule.DataModule` with a source that needs no folder."""

    _target_: str = MISSING
    source: Any = shipped_with(
        split=one_of("letters", "balanced"),
        resize=one_of("crop", "squash"),
        test_fraction=OPEN_FRACTION,
        test_seed=SEED,
        broken=one_of("refuse", "skip"),
        shape=SHAPE,
        num_train=count(1),
        num_test=count(1),
        num_classes=count(2),
        noise=between(0, 100),
        seed=SEED,
    )
    channels: int = within(count(1))  # of the images that the network sees; 3 repeats gray images
    image_size: int = within(count(1))  # height and width that the network sees: images of another size are resized
    input_shape: list[int] = within(SHAPE)  # channels, height, width; set it itself for images that are not square
    num_classes: int = within(count(2))
    batch_size: int = within(count(1))  # images of one step, on each device
    eval_batch_size: int = within(count(1))  # images of one forward pass in validation and test
    # standard: mean 0 and standard deviation 1 per channel over the training images; unit: pixels / 255
    normalize: str = within(one_of("standard", "unit"))
    # which images of the official training set form the validation set: stratified, or the first ones
    val: str = within(one_of("stratified", "first"))
    val_fraction: float = within(OPEN_FRACTION)  # share of the official training set that forms the validation set
    val_size: int | None = within(count(1))  # number of its images instead of a share
    fold: int | None = within(count(0))  # one of `num_folds` stratified folds instead, for cross-validation
    num_folds: int = within(count(2))
    # share of the other images to train on, stratified; that of 0.1 is a subset of that of 0.2
    train_fraction: float | None = within(SHARE)
    per_class: int | None = within(count(1))  # number of images of each class to train on instead
    label_noise: float = within(FRACTION)  # share of the training labels that are replaced by incorrect ones
    # images of the most frequent class for one of the rarest: a long tail; 1: as they are
    imbalance: float = within(at_least(1))
    # of the whole selection; not `seed`, so that runs with other seeds use the same images; null: `seed` all the same
    split_seed: int | None = within(SEED)
    augment: Any = MISSING  # operations on training images: [flip, crop(4)]
    # resident: all data in memory of the device; dataloader: worker processes; auto: chosen by the size of the data
    loader: str = within(one_of("auto", "resident", "dataloader"))
    num_workers: int = within(count(0, MAX_THREADS))  # worker processes of `loader=dataloader`


@dataclass
class FolderData(Data):
    """Configure `convline.data.datamodule.DataModule` with a source that reads, or downloads, files below `root`."""

    root: str = MISSING


@dataclass
class ModuleData:
    """Configure `convline.data.from_datamodule.FromDataModule`."""

    _target_: str = MISSING
    module: Any = MISSING  # a LightningDataModule of the user's own
    input_shape: list[int] = within(SHAPE)  # channels, height, width
    channels: int = within(count(1))  # the first of them, for networks of the user's own
    num_classes: int = within(count(2))
    augment: Any = MISSING  # none: the module transforms its images itself


@dataclass
class ParameterGroups:
    """Configure `convline.training.optimizers.ParameterGroups`."""

    no_decay: list[str] = within(some_of("biases", "norms"))  # kinds of parameters that get no weight decay
    # factor of the learning rate from each layer to the one before it; null: all layers have the same
    layer_decay: float | None = within(SHARE)
    groups: Any = within(
        GROUPS, default=None
    )  # settings by a pattern of parameter names: {fc*: {lr: 0.01}, conv1.*: {frozen: true}}


@dataclass
class Optimizer(ParameterGroups):
    """Configure what SGD and the Adam optimizers of torch.optim share."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    lr: float = within(above(0))  # peak learning rate, before the schedule's factor
    weight_decay: float = within(at_least(0))
    fused: bool | None = MISSING  # one kernel for all parameters; null: torch decides


@dataclass
class Sgd(Optimizer):
    """Configure torch.optim.SGD."""

    momentum: float = within(FRACTION)
    nesterov: bool = MISSING


@dataclass
class Adam(Optimizer):
    """Configure torch.optim.Adam and AdamW."""

    betas: list[float] = within(BETAS)
    eps: float = within(SHARE)


@dataclass
class RmsProp(ParameterGroups):
    """Configure torch.optim.RMSprop, which has no fused implementation."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    lr: float = within(above(0))
    weight_decay: float = within(at_least(0))
    alpha: float = within(FRACTION)  # smoothing of the squared gradient (Keras: rho)
    eps: float = within(SHARE)
    momentum: float = within(FRACTION)


@dataclass
class Muon(ParameterGroups):
    """Configure `convline.training.optimizers.Muon`."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    lr: float = within(above(0))  # peak learning rate of the matrices
    momentum: float = within(FRACTION)
    nesterov: bool = MISSING
    weight_decay: float = within(at_least(0))
    rest_lr: float = within(above(0))  # peak learning rate of all other parameters
    rest_betas: list[float] = within(BETAS)
    rest_weight_decay: float = within(at_least(0))


@dataclass
class Schedule:
    """Configure a function of `convline.training.schedules`."""

    _target_: str = MISSING
    _partial_: bool = MISSING
    # fraction of the run in which the factor rises linearly to 1; rounded to whole steps, so that it may be none
    warmup: float = within(FRACTION)


@dataclass
class StepSchedule(Schedule):
    """Configure `convline.training.schedules.step`."""

    every: int = within(count(1))  # epochs between two drops
    gamma: float = within(SHARE)  # factor of each drop


@dataclass
class DecaySchedule(Schedule):
    """Configure `convline.training.schedules.cosine` and `linear`."""

    final: float = within(between(0, 1))  # factor of the step after the last
    reach_final: bool = MISSING  # the last step itself has that factor: with 0, it changes no weight


@dataclass
class OneCycleSchedule(Schedule):
    """Configure `convline.training.schedules.onecycle`."""

    initial: float = within(SHARE)  # first factor
    final: float = within(between(0, 1))  # factor of the step after the last
    reach_final: bool = MISSING  # the last step itself has that factor: with 0, it changes no weight


DEVICES = Range(
    lambda value: value == "auto" or (type(value) is int and 1 <= value <= MAX_THREADS),
    f"auto or a number from 1 to {MAX_THREADS:,}",
)
STRATEGY = Range(
    lambda value: isinstance(value, Mapping) or value in ("auto", "ddp", "ddp_find_unused_parameters_true"),
    "auto, ddp, ddp_find_unused_parameters_true or a _target_ of these: clipping, averaging and checkpoints need the "
    "whole weights on each rank, which FSDP and DeepSpeed divide",
)


PROFILER = Range(
    lambda value: (isinstance(value, Mapping) and "_target_" in value) or value in ("simple", "advanced", "pytorch"),
    "simple, advanced, pytorch or a _target_; trainer=profile writes a table",
)


@dataclass
class Trainer:
    """Configure lightning.pytorch.Trainer; the data module applies the limits, which count batches."""

    _target_: str = MISSING
    accelerator: str = within(one_of("auto", "cpu", "gpu", "cuda", "mps"))
    devices: Any = within(DEVICES)  # on each node; auto: all GPUs, or one process on the CPU
    num_nodes: int = within(count(1, MAX_THREADS))  # machines, on each of which torchrun or srun starts the ranks
    strategy: Any = within(STRATEGY)  # of several ranks
    sync_batchnorm: bool = MISSING  # statistics of batch norm over all ranks; GPUs only
    rendezvous_minutes: float = within(between(0.01, 10_000))  # how long a rank waits for the others
    precision: str = within(one_of("32-true", "bf16-mixed", "16-mixed", "64-true", "bf16-true", "16-true"))
    max_epochs: int = within(count(1))
    deterministic: bool = MISSING
    log_every_n_steps: int = within(count(1))  # optimizer steps between two points of the step curves
    limit_train_batches: int | None = within(count(1))
    limit_val_batches: int | None = within(count(1))
    limit_test_batches: int | None = within(count(1))
    overfit_batches: int = within(count(0))  # train and validate on these first batches alone; 0: off
    profiler: Any = within(PROFILER, default=None)


@dataclass
class TensorBoard:
    """Configure lightning.pytorch.loggers.TensorBoardLogger, which writes into the run directory itself."""

    _target_: str = MISSING
    name: str = within(EMPTY)
    version: str = within(EMPTY)
    default_hp_metric: bool = MISSING


@dataclass
class Sweep:
    """Configure a search by `convline.sweeps.search`."""

    sampler: Any = within(NODE)  # of Optuna
    pruner: Any = within(NODE, default=None)  # null: every trial is trained to its end
    trials: int = within(count(1))  # number of trials, those of earlier commands included
    seed: int = within(SEED)  # of the sampler; not of the runs
    objectives: list[str] = MISSING  # each of val/acc, val/loss, parameters, macs, seconds
    storage: str | None = MISSING  # URL of a database, as SQLAlchemy has it; null: study.db in the sweep's folder
    space: dict[str, str] = (
        MISSING  # setting: the values to try, in the syntax of an override, such as tag(log, interval(0.001, 0.1))
    )


@dataclass
class Train:
    """Hold the top level of the config."""

    data: Any = MISSING
    model: Any = MISSING
    classifier: Any = MISSING
    loss: Any = shipped_with(gamma=between(0, 100))
    optimizer: Any = any_with(**declared_ranges(Optimizer))  # also of optimizers that have no schema
    scheduler: Any = MISSING
    trainer: Any = MISSING
    callbacks: Any = None  # ~callbacks: none at all
    logger: Any = None
    seed: int = within(SEED)  # of weights, order of images and dropout
    compile: bool = MISSING  # torch.compile the network: pays on a GPU, a loss for small networks on a CPU
    threads: int | None = within(count(1, MAX_THREADS))  # CPU threads of one operator; null: torch decides
    channels_last: bool = MISSING  # memory format of images and convolutions
    steps_per_execution: int = within(count(1))  # optimizer steps between two calls of the callbacks
    runs_dir: str = MISSING  # where run directories are made
    name: str | None = within(NAME, default=None)  # of the run directory; MODEL_DATA if null
    metrics: list[Any] = MISSING  # beside loss and accuracy: names of `convline.config.metrics.METRICS`, or _target_s
    # test-time augmentation, reported beside the plain figure: flip, flip+shift or null
    tta: str | None = within(one_of("flip", "flip+shift"))
    debug: bool = MISSING  # show the traceback of a user's mistake too
    # which finished jobs run again; none: not even those of another version of the code
    rerun: str = within(one_of("all", "failed", "none"))
    fail_fast: bool = MISSING  # end at the first job that fails
    workers: int = within(count(1, MAX_THREADS))  # number of jobs that run at the same time
    sweep: Any = MISSING


SCHEMAS = {
    **CALLBACKS,
    "train": Train,
    "classifier": Classifier,
    "data": Data,
    "folder_data": FolderData,
    "module_data": ModuleData,
    "sgd": Sgd,
    "adam": Adam,
    "rmsprop": RmsProp,
    "muon": Muon,
    "schedule": Schedule,
    "step_schedule": StepSchedule,
    "decay_schedule": DecaySchedule,
    "onecycle_schedule": OneCycleSchedule,
    "trainer": Trainer,
    "tensorboard": TensorBoard,
    "sweep": Sweep,
}


def register() -> None:
    """Register the schemas as `/schema/NAME` for the defaults lists of `conf/`, and the resolvers that `conf/` uses."""
    store = ConfigStore.instance()
    for name, node in SCHEMAS.items():
        store.store(group="schema", name=name, node=node)
    OmegaConf.register_new_resolver("count_classes", count_classes, replace=True)
    OmegaConf.register_new_resolver("first_batch", first_batch, replace=True)
