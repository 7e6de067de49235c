"""What each callback of the config may hold; see `convline.config.schema`."""

from dataclasses import dataclass

from omegaconf import MISSING


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
class TrainingImages:
    """`convline.callbacks.training_images.TrainingImages`."""

    _target_: str = MISSING
    rows: int = MISSING
    columns: int = MISSING


@dataclass
class Norms:
    """`convline.callbacks.norms.Norms`."""

    _target_: str = MISSING


@dataclass
class Histograms:
    """`convline.callbacks.histograms.Histograms`."""

    _target_: str = MISSING
    times: int = MISSING  # epochs of a run at whose end they are written, evenly
    num_images: int = MISSING  # validation images whose activations are shown


@dataclass
class ClassAccuracy:
    """`convline.callbacks.class_accuracy.ClassAccuracy`."""

    _target_: str = MISSING


@dataclass
class Memory:
    """`convline.callbacks.memory.Memory`."""

    _target_: str = MISSING


@dataclass
class Description:
    """`convline.callbacks.run_description.Description`."""

    _target_: str = MISSING


@dataclass
class PrCurves:
    """`convline.callbacks.pr_curves.PrCurves`."""

    _target_: str = MISSING


@dataclass
class Projector:
    """`convline.callbacks.projector.Projector`."""

    _target_: str = MISSING
    num_images: int = MISSING  # validation images that are points


@dataclass
class Pictures:
    """`convline.callbacks.figures.Pictures`."""

    _target_: str = MISSING
    at_end: list[str] = MISSING  # names of `convline.figures.BY_NAME`
    at_epochs: list[str] = MISSING  # ... of those that need no predictions
    times: int = MISSING  # epochs of a run at whose end the latter are drawn, evenly


@dataclass
class EarlyStopping:
    """lightning.pytorch.callbacks.EarlyStopping."""

    _target_: str = MISSING
    monitor: str = MISSING
    mode: str = MISSING
    patience: int = MISSING  # epochs without improvement
    min_delta: float = MISSING


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
