"""Small fits of a classifier, to be compared with loops written out."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from convline.data.datamodule import DataModule
from convline.data.sources import synthetic
from convline.training.classifier import Classifier
from convline.training.schedules import constant

SHAPE, NUM_CLASSES = (1, 3, 3), 3


def make_data(batch_size: int = 8, num_train: int = 50, steps_per_execution: int = 1) -> DataModule:
    """50 images: 17, 17 and 16 of a class; 3, 3 and 3 validate and one more of the first class: 40 train."""
    source = partial(
        synthetic, num_train=num_train, num_test=9, shape=SHAPE, num_classes=NUM_CLASSES, noise=0.5, seed=0
    )
    return DataModule(
        source, SHAPE, NUM_CLASSES, batch_size, 7, val_fraction=0.2, seed=3, steps_per_execution=steps_per_execution
    )


def make_network(batch_norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    middle: list[nn.Module] = [nn.BatchNorm2d(4)] if batch_norm else []
    return nn.Sequential(nn.Conv2d(1, 4, 2), *middle, nn.Tanh(), nn.Flatten(), nn.Linear(16, NUM_CLASSES))


def images_and_labels(data: DataModule, indices: Tensor) -> tuple[Tensor, Tensor]:
    official = data._source("train")
    mean, std = data.mean.view(1, -1, 1, 1), data.std.view(1, -1, 1, 1)
    return ((official.images[indices].double() / 255 - mean) / std).float(), official.labels[indices]


def batches_by_hand(data: DataModule, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    data.read()
    order = np.random.default_rng([data.seed, epoch]).permutation(len(data.train_indices))
    for start in range(0, len(order), data.batch_size):
        yield images_and_labels(data, data.train_indices[order[start : start + data.batch_size]])


sgd = partial(torch.optim.SGD, lr=0.5, momentum=0.9)


def fit(
    folder: Path,
    data: DataModule,
    network: nn.Module,
    epochs: int = 1,
    callbacks: list[Callback] | None = None,
    precision: Any = "32-true",
    optimizer: Callable[..., torch.optim.Optimizer] = sgd,
    scheduler: Callable[..., Any] = constant,
    **settings: Any,
) -> Classifier:
    classifier = Classifier(network, optimizer, scheduler, **settings)
    (folder / "checkpoints").mkdir(exist_ok=True)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        precision=precision,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=bool(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    trainer.fit(classifier, datamodule=data)
    return classifier


def metrics(classifier: Classifier) -> dict[str, float]:
    return {key: float(value) for key, value in classifier.trainer.callback_metrics.items()}
