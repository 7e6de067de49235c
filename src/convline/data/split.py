"""Which images train and which validate."""

import numpy as np
import torch
from torch import Tensor

from convline.errors import UserError


def stratified_split(labels: Tensor, val_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Take `val_fraction` of the images for validation, each class in proportion.

    The whole number of validation images is `round(val_fraction * N)`; classes get their share by largest remainder.

    Args:
        labels: int64, N.
        val_fraction: between 0 and 1, both excluded.
        seed: of the choice within each class.
    Returns:
        Indices of training and of validation images, each in ascending order.
    Raises:
        UserError: a class would be left without training or without validation images.
    """
    rng = np.random.default_rng(seed)
    values = labels.numpy()
    classes, counts = np.unique(values, return_counts=True)
    shares = counts * val_fraction
    num_val = np.floor(shares).astype(int)
    missing = round(len(values) * val_fraction) - int(num_val.sum())
    num_val[np.argsort(num_val - shares, kind="stable")[:missing]] += 1
    for side, empty in (("training", num_val == counts), ("validation", num_val == 0)):
        if empty.any():
            raise UserError(
                f"data.val_fraction={val_fraction} leaves class {classes[empty][0]} without {side} images; "
                "choose another fraction."
            )
    chosen = np.zeros(len(values), dtype=bool)
    for label, count in zip(classes, num_val, strict=True):
        members = np.flatnonzero(values == label)
        chosen[rng.permutation(members)[:count]] = True
    indices = torch.arange(len(values))
    mask = torch.from_numpy(chosen)
    return indices[~mask], indices[mask]
