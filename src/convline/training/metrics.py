"""Sum the losses and the correct predictions of an epoch, and build the further metrics of a run.

torchmetrics' `MeanMetric` and `MulticlassAccuracy` would keep the same sums on the device. Here the losses of an
execution are read anyway, to find one that is not finite. Their sums are then plain numbers of Python: they cost
nothing more, have 64 bits on every device, and fit into a checkpoint as a list.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from convline.config.metrics import ALWAYS, METRICS, lower_is_better, metric_name
from convline.errors import UserError


@dataclass(frozen=True)
class Sums:
    """Hold the sums over the batches of an epoch so far.

    Args:
        loss_sum: mean loss of each batch times its number of images.
        num_correct: number of correct predictions; not an integer if images are mixed (MixUp, CutMix).
        num_images: number of images.
        num_batches: number of batches.
    """

    loss_sum: float = 0.0
    num_correct: float = 0.0
    num_images: int = 0
    num_batches: int = 0

    @classmethod
    def of(cls, losses: Sequence[float], num_correct: Sequence[float], sizes: Sequence[int]) -> "Sums":
        """Sum some batches, from their mean losses, correct predictions and sizes."""
        loss_sum = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
        return cls(loss_sum, sum(num_correct), sum(sizes), len(sizes))

    @classmethod
    def from_row(cls, row: Sequence[float]) -> "Sums":
        """Restore sums from the numbers of `to_row`."""
        loss_sum, num_correct, num_images, num_batches = row
        return cls(loss_sum, num_correct, int(num_images), int(num_batches))

    def to_row(self) -> list[float]:
        """Return the four sums as a list, for a checkpoint or another rank."""
        return [self.loss_sum, self.num_correct, self.num_images, self.num_batches]

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.loss_sum + other.loss_sum,
            self.num_correct + other.num_correct,
            self.num_images + other.num_images,
            self.num_batches + other.num_batches,
        )

    @property
    def loss(self) -> float:
        """Compute the mean loss per image; nan before the first image."""
        return self.loss_sum / self.num_images if self.num_images else math.nan

    @property
    def accuracy(self) -> float:
        """Compute the fraction of correct predictions, 0 to 1; nan before the first image."""
        return self.num_correct / self.num_images if self.num_images else math.nan


def count_correct(logits: Tensor, targets: Tensor, is_multilabel: bool = False) -> Tensor:
    """Count the correct predictions of a batch, without waiting for the device.

    Args:
        logits: N×classes.
        targets: labels, N; or soft targets of mixed images, N×classes, in which case a prediction counts by the target
            of its class; or of multi-label images N×classes.
        is_multilabel: whether each class is predicted by itself. An image then counts by its share of correct labels,
            so that the mean over images is the label accuracy, 1 − the Hamming loss.
    Returns:
        A scalar on the device of the logits.
    """
    if is_multilabel:
        return label_accuracy(logits, targets).sum()
    predictions = logits.argmax(dim=1)
    if targets.is_floating_point():
        return targets.gather(1, predictions.unsqueeze(1)).sum()
    return (predictions == targets).sum().to(torch.float32)


def correct_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """Return which labels of multi-label images are predicted correctly, N×classes; see `label_accuracy`."""
    return (logits > 0) == (labels > 0)


def label_accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the share of correct labels of each multi-label image, N; a label is predicted above a probability of 0.5.

    Args:
        logits: N×classes.
        targets: N×classes, 0 or 1; or of mixed images the share of each label, by which its prediction counts.
    """
    return torch.where(logits > 0, targets, 1 - targets).float().mean(dim=1)


def probabilities(logits: Tensor, is_multilabel: bool) -> Tensor:
    """Return the probability of each class, N×classes: by softmax, or of each label by itself; float32 at least."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return logits.sigmoid() if is_multilabel else logits.softmax(dim=1)


def build_metrics(entries: Sequence[Any], num_classes: int, is_multilabel: bool = False) -> MetricCollection:
    """Build the metrics that a config names beside loss and accuracy.

    Args:
        entries: the setting `metrics`: names of `METRICS`, or nodes with `_target_`.
        num_classes: number of classes.
        is_multilabel: whether an image may have several labels.
    Returns:
        A collection whose `update` takes probabilities N×classes and labels N, or N×classes, by the names of the
        metrics.
    Raises:
        UserError: a metric cannot be built, or its direction is not the one that the config states.
    """
    built: dict[str, Metric | MetricCollection] = {}
    for entry in entries:
        if isinstance(entry, Mapping):
            name = metric_name(entry)
            arguments = {key: value for key, value in entry.items() if key not in ("name", "lower_is_better")}
        elif entry in ALWAYS:
            continue
        else:
            name, spec = str(entry), METRICS[entry]
            target = spec.multilabel_target if is_multilabel else spec.target
            if not target:
                kind = "several labels" if is_multilabel else "one label each"
                usable = [n for n, m in METRICS.items() if (m.multilabel_target if is_multilabel else m.target)]
                raise UserError(
                    f"metrics={name} is not defined for images with {kind}.\n  Metrics of these: {', '.join(usable)}"
                )
            count = "num_labels" if is_multilabel else "num_classes"
            arguments = {"_target_": target, count: num_classes, **spec.arguments}
            if spec.arguments.get("top_k", 0) >= num_classes:
                raise UserError(f"metrics: {name} of {num_classes} classes would always be 1; take it out.")
        metric = instantiate(arguments, _convert_="all")
        if not isinstance(metric, Metric):
            raise UserError(
                f"metrics: {arguments['_target_']} is no metric of torchmetrics, but {type(metric).__name__}."
            )
        if metric.higher_is_better is not None and metric.higher_is_better == lower_is_better(name):
            right = str(not metric.higher_is_better).lower()
            raise UserError(f"metrics: {name} states the other direction: add lower_is_better: {right} to its entry.")
        built[name] = metric
    return MetricCollection(built, compute_groups=False)


@contextmanager
def of_this_process(metrics: MetricCollection) -> Iterator[None]:
    """Compute metrics over what this process has seen: else each rank would wait for the others to compute theirs."""
    parts = [module for module in metrics.modules() if isinstance(module, Metric)]
    before = [part.distributed_available_fn for part in parts]
    try:
        for part in parts:
            part.distributed_available_fn = lambda: False
        yield
    finally:
        for part, function in zip(parts, before, strict=True):
            part.distributed_available_fn = function


def computed(metrics: MetricCollection) -> dict[str, float]:
    """Compute the metrics, each one number, over all ranks.

    Raises:
        UserError: a metric gives several numbers.
    """
    values = metrics.compute()
    for name, value in values.items():
        if not isinstance(value, Tensor) or value.numel() != 1:
            kind = f"{value.numel()} numbers" if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f"metrics: {name} gives {kind} instead of one: choose an average of its classes.")
    return {name: float(value) for name, value in values.items()}


def compute_on_logits(metrics: MetricCollection, logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Compute the metrics of a whole set of images.

    Args:
        metrics: a collection; a copy of it is used, on this rank alone.
        logits: N×classes.
        labels: N, or of multi-label images N×classes.
    """
    if not metrics:
        return {}
    fresh = metrics.clone().to(logits.device)
    fresh.reset()
    fresh.update(probabilities(logits, labels.ndim == 2).float(), labels.long())
    with of_this_process(fresh):
        return computed(fresh)
