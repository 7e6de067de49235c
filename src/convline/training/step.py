"""Take optimizer steps of a classifier without a Trainer, for measurements before a run: rates and batch sizes."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from convline.training.classifier import Classifier
from convline.training.optimizers import needs_closure

_DTYPES = {
    "64-true": torch.float64,
    "32-true": torch.float32,
    "16-true": torch.float16,
    "bf16-true": torch.bfloat16,
}


class TrainingStep:
    """Compute gradients and step as `Classifier` does in a run, on one device.

    Args:
        classifier: it is moved to the device, and converted if the precision is that of the weights too.
        device: of the batches.
        precision: as the setting `trainer.precision`.
    """

    def __init__(self, classifier: Classifier, device: torch.device, precision: str) -> None:
        self._classifier, self._precision = classifier, precision
        if precision.endswith("-true"):
            classifier.to(_DTYPES[precision])
        classifier.to(device).train()
        self.optimizer: Optimizer = classifier.build_optimizer()

    def gradient(self, images: Tensor, targets: Tensor) -> Tensor:
        """Compute the gradient of a batch, clipped if that is set, and return the mean loss over its images."""
        classifier = self._classifier
        low_precision = torch.float16 if self._precision == "16-mixed" else torch.bfloat16
        self.optimizer.zero_grad()
        with torch.autocast(images.device.type, low_precision, enabled=self._precision.endswith("-mixed")):
            loss = classifier.training_loss(classifier.network(images.to(classifier.dtype)), targets)
        classifier.reduced(loss, 1.0, len(targets)).backward()
        if classifier.gradient_clip_norm is not None:
            nn.utils.clip_grad_norm_(classifier.network.parameters(), classifier.gradient_clip_norm)
        return loss.detach()

    def step(self, images: Tensor, targets: Tensor) -> None:
        """Update the weights by the gradient of a batch, which some optimizers compute again."""
        if needs_closure(self.optimizer):
            self.optimizer.step(partial(self.gradient, images, targets))  # type: ignore[arg-type]  # torch: a number
        else:
            self.optimizer.step()
