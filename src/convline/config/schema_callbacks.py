"""Declare what each callback of the config may hold; see `convline.config.schema`."""

from dataclasses import dataclass

from omegaconf import MISSING

from convline.config.ranges import at_least, count, one_of, within

MAX_TILES = 100  # rows and columns of a picture; TensorBoard shows none of more pixels well


@dataclass
class Checkpoint:
    """Configure `convline.callbacks.checkpoint.BestAndLast`."""

    _target_: str = MISSING
    monitor: str = MISSING  # one of `convline.config.metrics.monitors`
    # optimizer steps between two saves within an epoch; null: save at its end only
    every_n_steps: int | None = within(count(1))


@dataclass
class Progress:
    """Configure `convline.callbacks.progress.Progress`."""

    _target_: str = MISSING


@dataclass
class Throughput:
    """Configure `convline.callbacks.training_cost.Throughput`."""

    _target_: str = MISSING


@dataclass
class HParams:
    """Configure `convline.callbacks.hparams.HParams`."""

    _target_: str = MISSING


@dataclass
class TrainingImages:
    """Configure `convline.callbacks.training_images.TrainingImages`."""

    _target_: str = MISSING
    rows: int = within(count(1, MAX_TILES))
    columns: int = within(count(1, MAX_TILES))


@dataclass
class Norms:
    """Configure `convline.callbacks.norms.Norms`."""

    _target_: str = MISSING


@dataclass
class Histograms:
    """Configure `convline.callbacks.histograms.Histograms`."""

    _target_: str = MISSING
    times: int = within(count(1))  # number of epochs after which they are written, evenly spaced
    num_images: int = within(count(1))  # validation images whose activations are shown


@dataclass
class ClassAccuracy:
    """Configure `convline.callbacks.class_metrics.ClassAccuracy`."""

    _target_: str = MISSING


@dataclass
class Memory:
    """Configure `convline.callbacks.training_cost.Memory`."""

    _target_: str = MISSING


@dataclass
class Description:
    """Configure `convline.callbacks.run_description.Description`."""

    _target_: str = MISSING


@dataclass
class PrCurves:
    """Configure `convline.callbacks.class_metrics.PrCurves`."""

    _target_: str = MISSING


@dataclass
class Projector:
    """Configure `convline.callbacks.projector.Projector`."""

    _target_: str = MISSING
    num_images: int = within(count(3))  # validation images to embed


@dataclass
class Pictures:
    """Configure `convline.callbacks.figures.Pictures`."""

    _target_: str = MISSING
    at_end: list[str] = MISSING  # names of `convline.figures.BY_NAME`
    at_epochs: list[str] = MISSING  # names of figures that need no predictions
    times: int = within(count(1))  # number of epochs after which these are drawn, evenly spaced


@dataclass
class EarlyStopping:
    """Configure lightning.pytorch.callbacks.EarlyStopping."""

    _target_: str = MISSING
    monitor: str = MISSING  # one of `convline.config.metrics.monitors`
    mode: str = within(one_of("min", "max"))
    patience: int = within(count(0))  # epochs without improvement
    min_delta: float = within(at_least(0))


CALLBACKS = {
    "checkpoint": Checkpoint,
    "progress": Progress,
    "throughput": Throughput,
    "hparams": HParams,
    "training_images": TrainingImages,
    "norms": Norms,
    "histograms": Histograms,
    "class_accuracy": ClassAccuracy,
    "memory": Memory,
    "description": Description,
    "pr_curves": PrCurves,
    "projector": Projector,
    "pictures": Pictures,
    "early_stopping": EarlyStopping,
}
