"""Write histograms of weights, gradients and activations by layer, and the fraction of dead ReLUs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from convline.callbacks.tensorboard import chosen_epochs, event_writer
from convline.data.datamodule import datamodule_of
from convline.data.samples import load_samples
from convline.network.hooks import ACTIVATIONS, layers, outputs
from convline.training.classifier import Classifier

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

NUM_BINS = 40
MAX_VALUES = 20_000  # of a layer's activations


class Histograms(Callback):
    """Write `weights/…`, `gradients/…`, `activations/…` and `dead_relus/…` of each layer at the end of some epochs.

    Gradients are those of the epoch's last step. Activations are the outputs, for validation images, of layers with
    weights and of activation functions. A unit of a ReLU (a channel of a map, or a unit of a dense layer) is dead if
    its output is zero at every position of all these images.

    Args:
        times: number of epochs, evenly spaced, with the first and the last. A run that is stopped early has the
            chosen epochs before the stop, and its last epoch without gradients.
        num_images: number of validation images for the activations, at most a validation batch.
    """

    def __init__(self, times: int, num_images: int) -> None:
        self.times, self.num_images = times, num_images
        self._gradients: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the epochs at whose end histograms are written."""
        self._epochs = chosen_epochs(trainer.max_epochs or 1, self.times)
        self._written_step: int | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Read the step count once per execution, since reading it in every step is slow."""
        self._step = trainer.global_step

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Keep the gradients of the epoch's last step.

        The tensors need no copy, since `zero_grad` sets `p.grad` to None.
        """
        assert isinstance(pl_module, Classifier)
        self._step += 1
        if self._step % pl_module.steps_per_epoch or not self._is_due(trainer):
            return
        weights = _weights(pl_module.network)
        self._gradients = {name: p.grad for name, p in weights.items() if p.grad is not None}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write all histograms if this is one of the chosen epochs."""
        gradients, self._gradients = self._gradients, {}
        if self._is_due(trainer):
            self._write(trainer, pl_module, gradients)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the histograms of the last epoch if early stopping made it the last."""
        if self._written_step != trainer.global_step:
            self._write(trainer, pl_module, {})

    def _write(self, trainer: Trainer, pl_module: LightningModule, gradients: dict[str, Tensor]) -> None:
        writer = event_writer(trainer)
        if writer is None:
            return
        self._written_step = trainer.global_step
        assert isinstance(pl_module, Classifier)
        step = trainer.global_step
        for name, weight in _weights(pl_module.network).items():
            write_histogram(writer, f"weights/{name}", weight.detach(), step)
        for name, gradient in gradients.items():
            write_histogram(writer, f"gradients/{name}", gradient, step)
        data = datamodule_of(trainer)
        count = min(self.num_images, data.eval_batch_size, data.num_eval_images("val"))
        images = load_samples(data, "val", torch.arange(count), pl_module.device).images
        for name, (values, dead) in outputs(pl_module.network, images, _is_shown, _sampled).items():
            write_histogram(writer, f"activations/{name}", values, step)
            if dead is not None:
                writer.add_scalar(f"dead_relus/{name}", dead, step)

    def _is_due(self, trainer: Trainer) -> bool:
        return trainer.is_global_zero and trainer.current_epoch + 1 in self._epochs


def _weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Collect the weights of convolutions, dense and local layers, without biases and the weights of normalization."""
    weights = {name: getattr(module, "weight", None) for name, module in layers(network).items()}
    return {name: w for name, w in weights.items() if isinstance(w, nn.Parameter) and w.ndim > 1}


def _is_shown(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(module, ACTIVATIONS) or (isinstance(weight, nn.Parameter) and weight.ndim > 1)


def _sampled(module: nn.Module, output: Tensor) -> tuple[Tensor, float | None]:
    """Subsample an output; for a ReLU, also return the fraction of dead units."""
    values = output.flatten()
    return values[:: sampling_stride(len(values))], dead_share(output) if isinstance(module, nn.ReLU) else None


def sampling_stride(num_values: int) -> int:
    """Compute a stride for subsampling, coprime to the number of values to avoid aliasing with the rows of a map.

    With a common divisor, all samples might come from the same columns of the maps, perhaps those at the edge.
    """
    stride = max(1, num_values // MAX_VALUES)
    while math.gcd(stride, num_values) > 1:
        stride += 1
    return stride


def dead_share(output: Tensor) -> float:
    """Compute the fraction of units, of N×units or N×channels×H×W, that are zero at every position of every image."""
    largest = output.amax(dim=[axis for axis in range(output.ndim) if axis != 1])
    return (largest <= 0).float().mean().item()


def write_histogram(writer: SummaryWriter, tag: str, values: Tensor, step: int) -> None:
    """Write a histogram with `NUM_BINS` bins of equal width.

    torch's `add_histogram` takes five times as long, and its default bins thirteen times the space.
    """
    values = values.detach().float().flatten().cpu()
    if not values.isfinite().all():
        return  # the loss is not finite either, which ends the run
    low, high = float(values.min()), float(values.max())
    if low == high:  # all values are equal: give them a bin
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(values, NUM_BINS, low, high)
    writer.add_histogram_raw(
        tag,
        min=low,
        max=high,
        num=len(values),
        sum=float(values.double().sum()),
        sum_squares=float(values.double().square().sum()),
        bucket_limits=np.linspace(low, high, NUM_BINS + 1)[1:].tolist(),
        bucket_counts=counts.tolist(),
        global_step=step,
    )
