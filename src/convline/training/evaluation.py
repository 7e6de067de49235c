"""Evaluating a network on a set of images, outside the trainer: the same figures in training and from the shell."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy

from convline.data.loader import Loader
from convline.training.tta import averaged


@dataclass(frozen=True)
class Evaluation:
    """What a network says of a set of images.

    Args:
        logits: float32, N×classes.
        labels: int64, N.
    """

    logits: Tensor
    labels: Tensor

    @property
    def accuracy(self) -> float:
        """Share of images whose highest logit is the label's."""
        return (self.logits.argmax(dim=1) == self.labels).double().mean().item()

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return F.cross_entropy(self.logits.double(), self.labels).item()

    def class_accuracy(self) -> list[float]:
        """Accuracy within each class; 0 for a class without images."""
        per_class = multiclass_accuracy(self.logits, self.labels, num_classes=self.logits.shape[1], average="none")
        return [round(value, 6) for value in per_class.double().tolist()]

    def save(self, path: Path) -> None:
        """Write `logits` and `labels` as an .npz archive."""
        path.parent.mkdir(exist_ok=True)
        np.savez(path, logits=self.logits.numpy(), labels=self.labels.numpy())


@torch.inference_mode()
def evaluate(network: nn.Module, loader: Loader, precision: str, tta: str | None = None) -> Evaluation:
    """Run a network over a loader's images, in order.

    Args:
        network: on the loader's device; left in evaluation mode.
        loader: neither shuffled nor augmented.
        precision: "32-true", or "bf16-mixed" for autocast as in training.
        tta: test-time augmentation, see `convline.training.tta.averaged`.
    """
    network.eval()
    logits, labels = [], []
    with torch.autocast(loader.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        for execution in loader:
            for images, targets in execution:
                logits.append(averaged(network, images, tta))
                labels.append(targets)
    return Evaluation(torch.cat(logits).cpu(), torch.cat(labels).cpu())
