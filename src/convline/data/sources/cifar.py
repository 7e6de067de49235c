"""Read CIFAR-10 and CIFAR-100 from their pickle files, after a check of the MD5 sums that torchvision lists."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convline.data.sources.base import Images, SplitName, lay_channels_last
from convline.data.sources.downloads import check_md5, damaged, download


def cifar10(root: Path, split_name: SplitName) -> Images:
    """Read CIFAR-10, 3×32×32, from `root`/cifar-10-batches-py; downloaded by torchvision if it is not there."""
    from torchvision.datasets import CIFAR10

    return _read(CIFAR10, "CIFAR-10", "labels", root, split_name)


def cifar100(root: Path, split_name: SplitName) -> Images:
    """Read CIFAR-100 with its 100 fine classes, 3×32×32, from `root`/cifar-100-python; downloaded if missing."""
    from torchvision.datasets import CIFAR100

    return _read(CIFAR100, "CIFAR-100", "fine_labels", root, split_name)


def _read(published: Any, name: str, labels_key: str, root: Path, split_name: SplitName) -> Images:
    """Read the files that torchvision's class `published` lists, with their MD5 sums."""
    folder = Path(root) / published.base_folder
    meta = published.meta
    listed = [*published.train_list, *published.test_list, [meta["filename"], meta["md5"]]]
    present = [file for file, _ in listed if (folder / file).is_file()]
    if len(present) < len(listed):
        if present:
            missing = next(file for file, _ in listed if file not in present)
            raise damaged(folder / missing, "it is missing, though others are there")
        download(partial(published, root=str(root), download=True), name, folder)
    needed = published.train_list if split_name == "train" else published.test_list
    images, labels = None, []
    for index, (file, md5) in enumerate(needed):
        content = _load(folder / file, md5)
        data = content["data"]
        if images is None:  # one array for all files, so that memory holds the images once
            images = data if len(needed) == 1 else np.empty((len(needed), *data.shape), dtype=np.uint8)
        if len(needed) > 1:
            images[index] = data
        labels += content[labels_key]
    classes = tuple(_text(label) for label in _load(folder / meta["filename"], meta["md5"])[meta["key"]])
    assert images is not None
    planes = torch.from_numpy(images.reshape(-1, 3, 32, 32))
    return Images(lay_channels_last(planes), torch.tensor(labels), classes)


def _load(path: Path, md5: str) -> dict[str, Any]:
    """Load a pickle file whose MD5 sum is correct.

    Raises:
        UserError: the MD5 sum is another.
    """
    import pickle

    content = path.read_bytes()
    check_md5(path, hashlib.md5(content, usedforsecurity=False).hexdigest(), md5)
    # Python 2 wrote these files; as bytes, its strings need no conversion
    return {_text(key): value for key, value in pickle.loads(content, encoding="bytes").items()}


def _text(value: bytes | str) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else value
