"""Read a torch Dataset, such as those of torchvision, as a source."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from convline.data.sources.base import Images, SplitName
from convline.errors import UserError


def from_dataset(*root_and_split: Any, make: Callable[..., Dataset]) -> Images:
    """Read all items of a map-style dataset into memory.

    Args:
        root_and_split: the folder, if there is one, and the name of the official split, "train" or "test".
        make: builds the dataset; it gets `root` if it has such an argument, and `train=True` or `split="train"`.
    Returns:
        The images as they are; an item is an image and a label, or a tensor that holds 0 or 1 for each class. Images
        are PIL images, uint8 arrays or tensors, or
        floats from 0 to 1, all of one shape.
    Raises:
        UserError: the dataset has no splits, cannot be built, or its items are something else.
    """
    *root, split_name = root_and_split
    dataset: Any = make(**_arguments(make, root[0] if root else None, split_name))
    name = type(dataset).__name__
    if not hasattr(dataset, "__len__"):
        raise UserError(f"data.source: {name} has no length; write a function of the split that returns Images.")
    images, items = [], []
    for index in range(len(dataset)):
        image, label = dataset[index][:2]
        images.append(_pixels(image, name))
        items.append(torch.as_tensor(label))
    if len(sizes := {item.numel() if item.ndim else 0 for item in items}) > 1:
        raise UserError(f"data.source: {name} has labels of several sizes: {', '.join(map(str, sorted(sizes)))}.")
    labels = torch.stack(items)
    is_multilabel = labels.ndim == 2 and labels.shape[1] > 1
    if not is_multilabel and (labels.is_complex() or (labels != labels.round()).any()):
        raise UserError(
            f"data.source: {name} has labels such as {labels.flatten()[0]:g}, but whole numbers are expected."
        )
    labels = labels.float() if is_multilabel else labels.flatten().long()
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise UserError(
            f"data.source: {name} has images of several shapes, such as {' and '.join(map(str, sorted(shapes)[:2]))}.\n"
            "  Give it a transform that makes them equal, or use data=folder, which resizes."
        )
    classes = getattr(dataset, "classes", None) or range(labels.shape[1] if is_multilabel else int(labels.max()) + 1)
    return Images(torch.stack(images), labels, tuple(map(str, classes)))


def _arguments(make: Callable[..., Dataset], root: Path | None, split_name: SplitName) -> dict[str, Any]:
    names = inspect.signature(make).parameters
    arguments: dict[str, Any] = {"root": root} if "root" in names and root is not None else {}
    if "train" in names:
        return {**arguments, "train": split_name == "train"}
    if "split" in names:
        return {**arguments, "split": split_name}
    raise UserError(
        "data.source: the dataset has no argument train or split, so that nothing says which images are the test set.\n"
        "  Write a function of the split that returns Images: docs/extend.md"
    )


def _pixels(image: Any, name: str) -> Tensor:
    """Convert one image to uint8, C×H×W."""
    if isinstance(image, Tensor):
        pixels = image if image.ndim == 3 else image.unsqueeze(0)
    else:
        if getattr(image, "mode", "") == "P":  # whose numbers are positions in a palette of colors
            image = image.convert("RGB")
        array = np.array(image)
        pixels = torch.from_numpy(array if array.ndim == 3 else array[..., None]).permute(2, 0, 1)
    if pixels.dtype == torch.uint8:
        return pixels
    if not pixels.is_floating_point() or pixels.min() < 0 or pixels.max() > 1:
        raise UserError(
            f"data.source: an image of {name} is {pixels.dtype} from {pixels.min():g} to {pixels.max():g}, but uint8, "
            "or floats from 0 to 1, are expected.\n  Leave normalization out of its transform: Convline does it."
        )
    return (pixels * 255).round().to(torch.uint8)
