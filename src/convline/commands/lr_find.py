"""Find a learning rate by a range test, for `convline lr-find`: train a few steps with a rate that grows.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from convline.config import load_config
from convline.data.loader import Batch, Loader, LoaderConfig
from convline.errors import UserError
from convline.figures import canvas
from convline.run.console import print_notice
from convline.training.setup import build, uses_cuda
from convline.training.step import TrainingStep

SMOOTHING = 0.9  # of the exponential mean of the loss
DIVERGED = 4.0  # times the lowest smoothed loss


def lr_find(overrides: Sequence[str], num_steps: int, low: float, high: float, file: Path | None) -> float:
    """Print the learning rate at which the loss falls fastest, and draw loss against rate.

    Nothing is kept: the network is trained for the test alone, without its schedule.

    Args:
        overrides: overrides of a config, as for `python train.py`.
        num_steps: optimizer steps, over which the rate grows from `low` to `high` by a constant factor.
        low, high: first and last learning rate.
        file: PNG of the curve; None: no picture.
    Returns:
        The suggestion.
    Raises:
        UserError: a setting is wrong, or the loss never fell.
    """
    if not 0 < low < high or num_steps < 20:
        raise UserError("the range test needs 0 < --low < --high and at least 20 --steps.")
    cfg = load_config(overrides)
    rates, losses = range_test(cfg, np.geomspace(low, high, num_steps).tolist())
    suggestion = steepest(rates, losses)
    best = lowest(rates, losses)
    print_notice(f"the loss falls fastest at a learning rate of {suggestion:.2g}; it was lowest at {best:.2g}")
    print_notice(f"  Type: optimizer.lr={suggestion:.2g}, and compare it with half and twice of that")
    if file is not None:
        try:
            _draw(rates, losses, suggestion).savefig(file)
        except (OSError, ValueError) as error:
            raise UserError(f"{file} cannot be written: {error}") from error
        print_notice(f"written: {file}")
    return suggestion


def range_test(cfg: DictConfig, rates: Sequence[float]) -> tuple[list[float], list[float]]:
    """Take one optimizer step with each learning rate, until the loss diverges.

    Returns:
        The rates that were tried, and the smoothed loss before each step.
    """
    data, classifier = build(cfg)
    device = device_of(cfg)
    step = TrainingStep(classifier, device, cfg.trainer.precision)
    # The groups whose rate follows optimizer.lr, and its multiple there; others have a rate of their own.
    doubled = classifier.build_optimizer(lr=2 * cfg.optimizer.lr)
    multiples = [
        own["lr"] / cfg.optimizer.lr if other["lr"] != own["lr"] else None
        for own, other in zip(step.optimizer.param_groups, doubled.param_groups, strict=True)
    ]
    batches = endless_batches(data.training_loader(device, LoaderConfig(data.batch_size, cfg.seed)))
    smoothed = 0.0
    tried: list[float] = []
    losses: list[float] = []
    for count, rate in enumerate(rates, 1):
        for group, multiple in zip(step.optimizer.param_groups, multiples, strict=True):
            if multiple is not None:
                group["lr"] = rate * multiple
        images, targets = next(batches)
        value = step.gradient(images, targets).item()
        smoothed = SMOOTHING * smoothed + (1 - SMOOTHING) * value
        mean = smoothed / (1 - SMOOTHING**count)  # without the bias towards the zero that it began with
        if not math.isfinite(value) or (losses and mean > DIVERGED * min(losses)):
            break
        tried.append(rate)
        losses.append(mean)
        step.step(images, targets)
    return tried, losses


def device_of(cfg: DictConfig) -> torch.device:
    """Return the device on which a config trains."""
    return torch.device("cuda" if uses_cuda(cfg) else "cpu")


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return the rate at which the loss falls fastest over the logarithm of the rate.

    Raises:
        UserError: it never falls.
    """
    if len(rates) < 3:
        raise UserError("the loss diverged at once: type a smaller --low.")
    slopes = np.gradient(np.asarray(losses), np.log(np.asarray(rates)))
    index = int(slopes.argmin())
    if slopes[index] >= 0:
        raise UserError("the loss never fell: type a larger --high, or more --steps.")
    return rates[index]


def lowest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return the rate at which the loss was lowest."""
    return rates[int(np.argmin(losses))]


def endless_batches(loader: Loader) -> Iterator[Batch]:
    """Yield the batches of one epoch after another."""
    while True:
        for execution in loader:
            yield from execution


def _draw(rates: Sequence[float], losses: Sequence[float], suggestion: float) -> "canvas.Figure":
    figure = canvas.blank(560, 360)
    canvas.write(figure, 12, 10, f"Learning-rate range test: {suggestion:.2g}", canvas.LARGE, bold=True)
    axes = canvas.axes_at(figure, 80, 40, 460, 260)
    axes.plot(rates, losses, color=canvas.COLORS[0])
    axes.axvline(suggestion, color=canvas.COLORS[1], linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate", fontsize=canvas.NORMAL, color=canvas.INK)
    axes.set_ylabel("training loss, smoothed", fontsize=canvas.NORMAL, color=canvas.INK)
    return figure
