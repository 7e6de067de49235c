"""Our whole `fit` against a bare PyTorch loop that does the same arithmetic on the same resident tensors.

Ours is what `python train.py` does between building everything and the final test: Lightning's trainer with
TensorBoard, metrics.csv, checkpoints, progress bar and throughput. The bare loop has none of these; it sums losses and
hits. Both start from the same weights, and it is checked that they end with the same ones, or the comparison would mean
nothing.
"""

import contextlib
import copy
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from benchmarks import mnist
from benchmarks.measure import Comparison, Sample, Stopwatch, Way, compare
from convline.config import load_config
from convline.config.signatures import OUR_OWN
from convline.run.start import start as start_run
from convline.training.setup import instantiate_node

FIGURES = ("train/loss", "train/acc", "val/loss", "val/acc")


@dataclass(frozen=True)
class Start:
    """Where our fit began: the network before the first step, and the resident uint8 images with their labels."""

    network: nn.Module
    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Outcome:
    """What a fit took and gave: its weights, and the `FIGURES` of its last epoch."""

    sample: Sample
    weights: dict[str, Tensor]
    figures: dict[str, float]


def compare_fit(
    model: str,
    target: float,
    num_rounds: int,
    num_epochs: int,
    num_threads: int,
    data: tuple[str, Sequence[str]] | None = None,
) -> Comparison:
    """Measure `fit` of one model on the processor, with the shipped defaults.

    Args:
        model: option of the config group.
        target: largest ratio wanted.
        num_rounds: how often each is measured.
        num_epochs: of each fit.
        num_threads: that torch has been given; only said again in the table.
        data: in words, and the settings that choose them; MNIST if None.
    """
    source, words = data or mnist.settings()
    settings = [f"model={model}", *words, "trainer=cpu", "callbacks=plain", f"trainer.max_epochs={num_epochs}"]
    cfg = load_config(settings)
    with tempfile.TemporaryDirectory() as folder:
        start, warm = our_fit(cfg, Path(folder))
        check = agreement(warm, bare_fit(cfg, start))
        name = f"fit {model}, batch {cfg.data.batch_size}, {num_threads} thread{'s' if num_threads > 1 else ''}"
        ours = Way("fit with logging, progress bar and checkpoints", lambda: our_fit(cfg, Path(folder))[1].sample)
        other = Way("bare PyTorch loop", lambda: bare_fit(cfg, start).sample)
        measured = compare(name, ours, other, "cpu", "at most", target, num_rounds, warm_up=False)
    return measured.noted(data=source, epochs=num_epochs, threads=num_threads, settings=settings, **check)


def our_fit(cfg: DictConfig, folder: Path) -> tuple[Start, Outcome]:
    """Do a run as `python train.py` does, and measure its `Trainer.fit`.

    Args:
        cfg: the whole config.
        folder: where the run directory is made.
    """
    caught: list[tuple[Start, Outcome]] = []
    fit = pl.Trainer.fit

    def measured(trainer: Any, model: Any, *args: Any, **kwargs: Any) -> None:
        network = copy.deepcopy(model.network)
        with Stopwatch() as watch:
            fit(trainer, model, *args, **kwargs)
        train, val, data = trainer.train_dataloader, trainer.val_dataloaders, trainer.datamodule
        figures = {key: float(trainer.callback_metrics[key]) for key in FIGURES}
        parts = [(loader.images[loader.indices], loader.labels[loader.indices]) for loader in (train, val)]
        start = Start(network, parts[0], parts[1], data.mean, data.std)
        caught.append((start, Outcome(watch.sample, copy.deepcopy(model.network.state_dict()), figures)))

    with patch.object(pl.Trainer, "fit", measured), _terminal_that_nobody_reads():
        start_run(cfg, folder, "benchmark", choices={})
    return caught[0]


@contextlib.contextmanager
def _terminal_that_nobody_reads() -> Iterator[None]:
    """The progress bar is drawn on terminals only: pass the null device off as one."""
    pretence = patch.dict(os.environ, {"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    with pretence, open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        yield


def bare_fit(cfg: DictConfig, start: Start) -> Outcome:
    """The same training and validation, as one writes it without a framework.

    Args:
        cfg: the config of our fit.
        start: where that began; its network is left as it is.
    """
    network = copy.deepcopy(start.network)
    optimizer = instantiate_node(cfg, "optimizer", without=OUR_OWN["optimizer"])(network.parameters())
    steps = -(-len(start.train[1]) // cfg.data.batch_size)
    total_steps = steps * cfg.trainer.max_epochs
    scheduler = LambdaLR(optimizer, instantiate(cfg.scheduler)(total_steps=total_steps, steps_per_epoch=steps))
    normalise = Normalise(start.mean, start.std, cfg.channels_last)
    figures: list[float] = []
    with Stopwatch() as watch:
        for epoch in range(cfg.trainer.max_epochs):
            order = torch.from_numpy(np.random.default_rng([cfg.seed, epoch]).permutation(len(start.train[1])))
            train = _train(network, optimizer, scheduler, normalise, *start.train, order, cfg.data.batch_size)
            figures = [*train, *_validate(network, normalise, *start.val, cfg.data.eval_batch_size)]
    return Outcome(watch.sample, network.state_dict(), dict(zip(FIGURES, figures, strict=True)))


class Normalise:
    """uint8 images as float32, standardised per channel."""

    def __init__(self, mean: Tensor, std: Tensor, channels_last: bool) -> None:
        self.scale = (1 / (255 * std)).float().view(1, -1, 1, 1)
        self.shift = (-mean / std).float().view(1, -1, 1, 1)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, images: Tensor) -> Tensor:
        """N×C×H×W to the same."""
        return images.to(torch.float32, memory_format=self.memory_format).mul_(self.scale).add_(self.shift)


def _train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: LambdaLR,
    normalise: Normalise,
    all_images: Tensor,
    all_labels: Tensor,
    order: Tensor,
    batch_size: int,
) -> tuple[float, float]:
    """One epoch; mean loss and accuracy."""
    network.train()
    loss_sum, hits = 0.0, 0
    for index in order.split(batch_size):
        images, labels = normalise(all_images.index_select(0, index)), all_labels.index_select(0, index)
        logits = network(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        loss_sum += loss.item() * len(labels)
        hits += int((logits.argmax(dim=1) == labels).sum())
    return loss_sum / len(order), hits / len(order)


@torch.no_grad()
def _validate(
    network: nn.Module, normalise: Normalise, all_images: Tensor, all_labels: Tensor, batch_size: int
) -> tuple[float, float]:
    """Mean loss and accuracy."""
    network.eval()
    loss_sum, hits = 0.0, 0
    for images, labels in zip(all_images.split(batch_size), all_labels.split(batch_size), strict=True):
        logits = network(normalise(images))
        loss_sum += F.cross_entropy(logits, labels, reduction="sum").item()
        hits += int((logits.argmax(dim=1) == labels).sum())
    return loss_sum / len(all_labels), hits / len(all_labels)


def agreement(ours: Outcome, other: Outcome) -> dict[str, Any]:
    """Whether both ended with the same weights and the same figures, and how far they are apart if not.

    Raises:
        AssertionError: they did not do the same training.
    """
    pairs = [(ours.weights[key], other.weights[key]) for key in ours.weights]
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in pairs), "the two fits end with different weights"
    for key in FIGURES:
        assert abs(ours.figures[key] - other.figures[key]) < 1e-3, f"the two fits differ in {key}"
    return {
        "same_weights_bitwise": all(torch.equal(a, b) for a, b in pairs),
        "largest_weight_difference": max(float((a - b).abs().max()) for a, b in pairs),
        "figures": {key: [ours.figures[key], other.figures[key]] for key in FIGURES},
    }
