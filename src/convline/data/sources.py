"""Data sets as tensors: each source is a function of the official split.

A source returns all images of "train" or "test" at once, uint8 and unnormalised. Files are checked before they are
believed: a truncated or foreign file is named, with what to do.
"""

import contextlib
import gzip
import hashlib
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from convline.errors import UserError

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Images:
    """A set of labelled images.

    Args:
        images: uint8, N×C×H×W.
        labels: int64, N; each below `len(classes)`.
        classes: the classes' names, in order of their numbers.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> str:
        """A hash of every pixel and label: 16 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(repr((tuple(self.images.shape), self.classes)).encode())
        digest.update(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


class Source(Protocol):
    """Reads one official split; sources of files take their folder first."""

    def __call__(self, part: Part, /) -> Images:
        """All images of the official training or test set."""
        ...


DIGITS = tuple("0123456789")


def digits(part: Part) -> Images:
    """scikit-learn's embedded digits, 1×8×8, grey levels 0…16 spread over 0…255.

    There is no official split; every fifth image of each class is the test set.
    """
    # Read from the package's file, found without importing the package: that brings pandas, and 0.2 s at start-up.
    spec = find_spec("sklearn")
    assert spec is not None, "scikit-learn is a dependency"
    packed = (Path(str(spec.origin)).parent / "datasets" / "data" / "digits.csv.gz").read_bytes()
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.int64)
    labels = torch.from_numpy(table[:, -1].copy())
    images = torch.from_numpy(np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8)).view(-1, 1, 8, 8)
    rank_in_class = torch.zeros_like(labels)
    for digit in range(10):
        where = labels == digit
        rank_in_class[where] = torch.arange(int(where.sum()))
    chosen = (rank_in_class % 5 == 4) == (part == "test")
    return Images(images[chosen], labels[chosen], DIGITS)


def synthetic(
    part: Part,
    num_train: int,
    num_test: int,
    shape: tuple[int, int, int],
    num_classes: int,
    noise: float,
    seed: int,
) -> Images:
    """One random pattern a class, with Gaussian noise of `noise` × 255 on every pixel; classes in turn."""
    prototypes = torch.rand(num_classes, *shape, generator=torch.Generator().manual_seed(seed))
    count = num_train if part == "train" else num_test
    draws = torch.Generator().manual_seed(seed + (1 if part == "train" else 2))
    labels = torch.arange(count) % num_classes
    images = torch.empty(count, *shape, dtype=torch.uint8)
    for start in range(0, count, 4096):  # never a float copy of the whole
        chosen = labels[start : start + 4096]
        noisy = prototypes[chosen] + noise * torch.randn(len(chosen), *shape, generator=draws)
        images[start : start + 4096] = noisy.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
    return Images(images, labels, tuple(f"class {i}" for i in range(num_classes)))


def mnist(root: Path, part: Part) -> Images:
    """MNIST, 1×28×28, from `root`/MNIST/raw; downloaded by torchvision if it is not there."""
    folder = Path(root) / "MNIST" / "raw"
    prefix = "train" if part == "train" else "t10k"
    names = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        from torchvision.datasets import MNIST

        what = "MNIST" if len(missing) == len(names) else missing[0]
        _download(partial(MNIST, root=str(root), download=True), what, folder)
    count = 60_000 if part == "train" else 10_000
    images = _read_idx(folder / names[0], (count, 28, 28))
    labels = _read_idx(folder / names[1], (count,))
    if int(labels.max()) > 9:
        raise _damaged(folder / names[1], f"it holds the label {int(labels.max())}, but labels are 0 to 9")
    return Images(images.unsqueeze(1), labels.long(), DIGITS)


def cifar10(root: Path, part: Part) -> Images:
    """CIFAR-10, 3×32×32, from `root`/cifar-10-batches-py; downloaded by torchvision if it is not there.

    The files are pickles: they are opened only if torchvision's MD5 sums hold.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    folder = Path(root) / CIFAR10.base_folder
    listed = [*CIFAR10.train_list, *CIFAR10.test_list, [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]]
    present = [name for name, _ in listed if (folder / name).is_file()]
    if len(present) < len(listed):
        if present:
            missing = next(name for name, _ in listed if name not in present)
            raise _damaged(folder / missing, "it is missing, though others are there")
        _download(partial(CIFAR10, root=str(root), download=True), "CIFAR-10", folder)
    needed = CIFAR10.train_list if part == "train" else CIFAR10.test_list
    for name, md5 in [*needed, listed[-1]]:
        if not check_integrity(str(folder / name), md5):
            size = (folder / name).stat().st_size
            raise _damaged(folder / name, f"its {size:,} bytes do not have the published MD5 sum {md5}")
    return _read_cifar(folder, [name for name, _ in needed], CIFAR10.meta["filename"])


def _read_cifar(folder: Path, names: list[str], meta: str) -> Images:
    import pickle  # the callers have verified the files' MD5 sums

    def load(name: str, key: str) -> list | np.ndarray:
        with open(folder / name, "rb") as file:
            return pickle.load(file, encoding="latin1")[key]

    images = np.concatenate([np.asarray(load(name, "data")) for name in names]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([np.asarray(load(name, "labels"), dtype=np.int64) for name in names])
    return Images(torch.from_numpy(images), torch.from_numpy(labels), tuple(load(meta, "label_names")))


def _read_idx(path: Path, expected: tuple[int, ...]) -> Tensor:
    """Read one IDX file of unsigned bytes whose dimensions must be `expected`.

    Source of the format: http://yann.lecun.com/exdb/mnist/: two zero bytes, type, number of dimensions, then each
    dimension as a big-endian int32, then the values.
    """
    content = path.read_bytes()
    start = 4 + 4 * len(expected)
    if len(content) < start or content[:4] != bytes([0, 0, 8, len(expected)]):
        raise _damaged(path, "it does not begin as an IDX file of unsigned bytes does")
    shape = struct.unpack(f">{len(expected)}I", content[4:start])
    if shape != expected:
        raise _damaged(path, f"it holds {_times(shape)} values, but MNIST has {_times(expected)}")
    if len(content) - start != np.prod(shape):
        raise _damaged(path, f"it should hold {int(np.prod(shape)):,} values, but holds {len(content) - start:,}")
    # frombuffer on a copy: torch wants memory that it may write to
    return torch.from_numpy(np.frombuffer(bytearray(content), dtype=np.uint8, offset=start).reshape(shape))


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"the data file {path} is damaged: {why}.\n"
        f"  Delete it and run again with a network, or put a good copy there, or name another folder: data.root=FOLDER"
    )


def _download(download: Callable[[], object], name: str, folder: Path) -> None:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            download()
    except (OSError, RuntimeError) as error:
        # torchvision names the file in the first line and the cause in the last one
        cause = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UserError(
            f"there is no {name} in {folder}, and it could not be downloaded: {cause}\n"
            "  Connect to a network, or name a folder that holds it (data.root=FOLDER or the environment variable "
            "CONVLINE_DATA),\n  or take data that need neither: data=digits"
        ) from error
