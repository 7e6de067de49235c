"""Read MNIST and the data sets of its format: IDX files, 1×28×28, as torchvision downloads them.

The files are parsed in this module, because torchvision's reader fails on a truncated file without naming it.
"""

import os
import struct
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from convline.data.sources.base import DIGITS, Images, SplitName, swap_sides
from convline.data.sources.downloads import damaged, download
from convline.formatting import shape_text

SIDE = 28
# Images of the training and of the test set. EMNIST: NIST's page has the sums, 145,600 and 131,600.
COUNTS = {
    "MNIST": (60_000, 10_000),
    "FashionMNIST": (60_000, 10_000),
    "KMNIST": (60_000, 10_000),
    "EMNIST letters": (124_800, 20_800),
    "EMNIST balanced": (112_800, 18_800),
}


def mnist(root: Path, split_name: SplitName) -> Images:
    """Read MNIST: handwritten digits, from `root`/MNIST/raw."""
    images, labels = _read(root, split_name, "MNIST")
    _check_range(*labels, first=0, last=9)
    return Images(images, labels[1], DIGITS, flip_invariant=False)


def fashion_mnist(root: Path, split_name: SplitName) -> Images:
    """Read Fashion-MNIST: photographs of clothes in ten classes, from `root`/FashionMNIST/raw."""
    images, labels = _read(root, split_name, "FashionMNIST")
    _check_range(*labels, first=0, last=9)
    from torchvision.datasets import FashionMNIST

    classes = tuple(FashionMNIST.classes)
    _check_balance(*labels, classes)
    return Images(images, labels[1], classes)


def kmnist(root: Path, split_name: SplitName) -> Images:
    """Read Kuzushiji-MNIST: ten cursive hiragana, from `root`/KMNIST/raw."""
    images, labels = _read(root, split_name, "KMNIST")
    _check_range(*labels, first=0, last=9)
    from torchvision.datasets import KMNIST

    classes = tuple(KMNIST.classes)
    _check_balance(*labels, classes)
    return Images(images, labels[1], classes, flip_invariant=False)


def emnist(root: Path, split_name: SplitName, split: Literal["letters", "balanced"]) -> Images:
    """Read EMNIST, made upright, from `root`/EMNIST/raw.

    Args:
        root: folder of the data.
        split_name: which official set.
        split: "letters", where an upper and its lower case are one of 26 classes, or "balanced": digits, upper case,
            and the eleven lower case letters that do not look like their upper case, 47 classes.
    """
    images, (path, labels) = _read(root, split_name, "EMNIST", split)
    from torchvision.datasets import EMNIST

    classes = tuple(name for name in EMNIST.classes_split_dict[split] if name != "N/A")
    first = 1 if split == "letters" else 0  # the files count the letters from 1
    _check_range(path, labels, first, first + len(classes) - 1)
    labels -= first
    _check_balance(path, labels, classes)
    swap_sides(images)  # the files have them column by column
    return Images(images, labels, classes, flip_invariant=False)


def _read(root: Path, split_name: SplitName, name: str, split: str | None = None) -> tuple[Tensor, tuple[Path, Tensor]]:
    """Read images and labels from IDX files; let torchvision download missing files.

    Args:
        root, split_name: as above.
        name: of torchvision's class, and of the folder.
        split: of EMNIST.
    Returns:
        N×1×28×28 uint8; the labels' file and N labels, int64.
    """
    folder = Path(root) / name / "raw"
    prefix = f"emnist-{split}-{split_name}" if split else {"train": "train", "test": "t10k"}[split_name]
    files = [folder / f"{prefix}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    missing = [file for file in files if not file.is_file()]
    full_name = f"{name} {split}" if split else name
    if missing:
        import torchvision.datasets

        options: dict[str, Any] = {"split": split, "train": split_name == "train"} if split else {}
        fetch = partial(getattr(torchvision.datasets, name), root=str(root), download=True, **options)
        download(fetch, full_name if len(missing) == len(files) else missing[0].name, folder)
    count = COUNTS[full_name][split_name == "test"]
    images = _read_idx(files[0], full_name, (count, SIDE, SIDE))
    return images.unsqueeze(1), (files[1], _read_idx(files[1], full_name, (count,)).long())


def _read_idx(path: Path, name: str, expected: tuple[int, ...]) -> Tensor:
    """Read one IDX file of unsigned bytes whose dimensions must be `expected`.

    Source of the format: http://yann.lecun.com/exdb/mnist/: two zero bytes, type, number of dimensions, then each
    dimension as a big-endian int32, then the values.
    """
    start = 4 + 4 * len(expected)
    with open(path, "rb") as file:
        head = file.read(start)
        if len(head) < start or head[:4] != bytes([0, 0, 8, len(expected)]):
            raise damaged(path, "it does not begin as an IDX file of unsigned bytes does")
        shape = struct.unpack(f">{len(expected)}I", head[4:])
        if shape != expected:
            raise damaged(path, f"it holds {shape_text(shape)} values, but {name} has {shape_text(expected)}")
        num_values = os.fstat(file.fileno()).st_size - start
        if num_values != np.prod(shape):
            raise damaged(path, f"it should hold {int(np.prod(shape)):,} values, but holds {num_values:,}")
        return torch.from_numpy(np.fromfile(file, dtype=np.uint8).reshape(shape))


def _check_range(path: Path, labels: Tensor, first: int, last: int) -> None:
    for label in (int(labels.max()), int(labels.min())):
        if not first <= label <= last:
            raise damaged(path, f"it holds the label {label}, but labels are {first} to {last}")


def _check_balance(path: Path, labels: Tensor, classes: tuple[str, ...]) -> None:
    """Check that all classes have equally many images, which detects labels of another set, or altered ones.

    Raises:
        UserError: they have not.
    """
    counts = torch.bincount(labels, minlength=len(classes))
    expected = len(labels) // len(classes)
    unequal = (counts != expected).nonzero().flatten().tolist()
    if unequal:
        count = f"{int(counts[unequal[0]]):,} of class {classes[unequal[0]]!r}"
        raise damaged(path, f"it has {count}, but there are {expected:,} of each class")
