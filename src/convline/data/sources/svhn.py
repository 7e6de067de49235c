"""Read SVHN: house numbers from Street View, cropped to single digits."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import torch

from convline.data.sources.base import DIGITS, Images, SplitName, lay_channels_last, swap_sides
from convline.data.sources.downloads import check_md5, damaged, download

COUNTS = {"train": 73_257, "test": 26_032}  # http://ufldl.stanford.edu/housenumbers/


def svhn(root: Path, split_name: SplitName) -> Images:
    """Read SVHN's cropped digits, 3×32×32, from `root`/train_32x32.mat and test_32x32.mat; downloaded by torchvision.

    The file's label 10 stands for the digit 0, which is class 0 in convline.
    """
    from torchvision.datasets import SVHN

    _, name, md5 = SVHN.split_list[split_name]
    path = Path(root) / name
    if not path.is_file():
        download(partial(SVHN, root=str(root), split=split_name, download=True), name, Path(root))
    with open(path, "rb") as file:
        check_md5(path, hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest(), md5)
    from scipy.io import loadmat

    content = loadmat(path, variable_names=["X", "y"])
    pixels, labels = content["X"], content["y"].astype(np.int64).ravel()
    count = COUNTS[split_name]
    if pixels.shape != (32, 32, 3, count) or labels.shape != (count,):
        raise damaged(path, f"it holds {pixels.shape} pixels and {labels.shape} labels, not {count:,} images 3×32×32")
    if labels.min() < 1 or labels.max() > 10:
        raise damaged(path, f"it holds labels from {labels.min()} to {labels.max()}, but they are 1 to 10")
    # MATLAB stores the first index fastest: backwards, the same memory is N×C×W×H
    images = torch.from_numpy(pixels.transpose())
    swap_sides(images)
    return Images(lay_channels_last(images), torch.from_numpy(labels % 10), DIGITS, flip_invariant=False)
