"""Evaluate a network on a set of images, at the end of a run or from the command line.

Lightning's `Trainer.test` returns only metrics. A run also saves the logits of every image, from which figures,
comparisons and paired tests are computed later.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.functional.classification import multiclass_accuracy

from convline.data.loader import Loader
from convline.storage import replacing
from convline.training.metrics import compute_on_logits, correct_labels, label_accuracy, probabilities

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """Hold a network's logits for a set of images, with their labels.

    Args:
        logits: N×classes, float32.
        labels: N, int64; of multi-label images N×classes, 0 or 1, float32.
    """

    logits: Tensor
    labels: Tensor

    @property
    def accuracy(self) -> float:
        """Compute the fraction of images whose highest logit belongs to the label; of multi-label images, of labels."""
        if self.is_multilabel:
            return label_accuracy(self.logits, self.labels.double()).double().mean().item()
        return (self.logits.argmax(dim=1) == self.labels).double().mean().item()

    @property
    def is_multilabel(self) -> bool:
        """Return whether an image may have several labels, or none."""
        return self.labels.ndim == 2

    @property
    def probabilities(self) -> Tensor:
        """Compute the probability of each class; N×classes."""
        return probabilities(self.logits, self.is_multilabel)

    @property
    def is_correct(self) -> Tensor:
        """Return whether each image is predicted correctly, a multi-label one in all its labels; bool, N."""
        if self.is_multilabel:
            return correct_labels(self.logits, self.labels).all(dim=1)
        return self.logits.argmax(dim=1) == self.labels

    @property
    def losses(self) -> Tensor:
        """Compute the cross-entropy of each image in nats, a mean over labels if it has several; float64, N."""
        if self.is_multilabel:
            pairs = self.logits.double(), self.labels.double()
            return F.binary_cross_entropy_with_logits(*pairs, reduction="none").mean(dim=1)
        return F.cross_entropy(self.logits.double(), self.labels, reduction="none")

    @property
    def loss(self) -> float:
        """Compute the mean of `losses`."""
        return self.losses.mean().item()

    def mean_loss(self, loss: Callable[[Tensor, Tensor], Tensor] | None) -> float:
        """Compute the mean of another loss; None is the cross-entropy."""
        if loss is None:
            return self.loss
        # a copy on the host, where the logits are: a loss may hold tensors, such as weights of the classes
        on_host = copy.deepcopy(loss).cpu() if isinstance(loss, nn.Module) else loss
        with torch.no_grad():
            return float(on_host(self.logits, self.labels))

    def class_accuracy(self) -> list[float | None]:
        """Compute the accuracy within each class, None without images; of multi-label images, that of each label."""
        if self.is_multilabel:
            per_label = correct_labels(self.logits, self.labels).double().mean(dim=0)
            return [round(value, 6) for value in per_label.tolist()]
        per_class = multiclass_accuracy(self.logits, self.labels, num_classes=self.logits.shape[1], average="none")
        counts = torch.bincount(self.labels, minlength=self.logits.shape[1]).tolist()
        return [
            round(value, 6) if count else None for value, count in zip(per_class.double().tolist(), counts, strict=True)
        ]

    def save(self, path: Path) -> None:
        """Write `logits` and `labels` as an .npz archive."""
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, logits=self.logits.numpy(), labels=self.labels.numpy())


def measure(
    evaluation: Evaluation, loss: Callable[[Tensor, Tensor], Tensor] | None, metrics: MetricCollection | None = None
) -> dict[str, float]:
    """Compute accuracy, loss and further metrics of an evaluation, by their names without the split.

    Args:
        evaluation: logits and labels.
        loss: see `Classifier`; None is the cross-entropy.
        metrics: further metrics; see `build_metrics`.
    """
    further = compute_on_logits(metrics, evaluation.logits, evaluation.labels) if metrics else {}
    return {"acc": evaluation.accuracy, "loss": evaluation.mean_loss(loss), **further}


@torch.inference_mode()
def evaluate(network: nn.Module, loader: Loader, precision: str, tta: str | None = None) -> Evaluation:
    """Run a network over a loader's images, in order.

    Args:
        network: on the loader's device; it is left in evaluation mode.
        loader: neither shuffled nor augmented.
        precision: that of the training; "bf16-mixed" and "16-mixed" evaluate under autocast too.
        tta: test-time augmentation; see `average_over_views`.
    """
    network.eval()
    logits, labels = [], []
    low_precision = torch.float16 if precision == "16-mixed" else torch.bfloat16
    dtype = next((p.dtype for p in network.parameters()), torch.float32)
    with torch.autocast(loader.device.type, low_precision, enabled=precision.endswith("-mixed")):
        for execution in loader:
            for images, targets in execution:
                logits.append(average_over_views(network, images.to(dtype), tta))
                labels.append(targets)
    return Evaluation(torch.cat(logits).cpu(), torch.cat(labels).cpu())


def average_over_views(network: Network, images: Tensor, tta: str | None) -> Tensor:
    """Average a network's logits over several views of each image (test-time augmentation).

    Source: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, section 3.5.

    Args:
        network: maps images B×C×H×W to logits B×classes.
        images: normalized, B×C×H×W.
        tta: "flip" averages the image and its mirror image. "flip+shift" adds both of them moved by one pixel up and
            left, and by one pixel down and right, with reflected borders; the moved views together have the weight of
            the unmoved ones. None takes the image alone.
    Returns:
        Logits B×classes, float32.
    """
    if tta is None:
        return network(images).float()
    if tta == "flip":
        return _average_with_mirror(network, images)
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    up_left, down_right = padded[..., 2:, 2:], padded[..., :-2, :-2]
    moved = torch.stack([_average_with_mirror(network, up_left), _average_with_mirror(network, down_right)])
    return (_average_with_mirror(network, images) + moved.mean(dim=0)) / 2


def _average_with_mirror(network: Network, images: Tensor) -> Tensor:
    # in float32: bfloat16 would round the mean
    return (network(images).float() + network(images.flip(-1)).float()) / 2
