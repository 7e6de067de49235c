"""A small data module for tests."""

from functools import partial
from typing import Any

import torch

from convline.data.datamodule import DataModule
from convline.data.sources import synthetic

SHAPE = (1, 3, 3)


def make_data(num_train: int = 60, source_seed: int = 0, **overrides: Any) -> DataModule:
    """60 images in 3 classes: 48 train, 12 validate."""
    source = partial(
        synthetic, num_train=num_train, num_test=15, shape=SHAPE, num_classes=3, noise=0.3, seed=source_seed
    )
    settings = {
        "source": source,
        "input_shape": list(SHAPE),
        "num_classes": 3,
        "batch_size": 10,
        "eval_batch_size": 7,
        "val_fraction": 0.2,
        "split_seed": 0,
    }
    return DataModule(**{**settings, **overrides})


def labels_of(*counts: int) -> torch.Tensor:
    """So many labels of each class, mixed up."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
