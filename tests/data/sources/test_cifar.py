"""CIFAR: files in order, color planes, and no pickle opened before its sum is known."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from convline.data.sources import SplitName, cifar10, cifar100
from convline.errors import UserError
from support.data_files import as_python2, publish_cifar, write_files

pytestmark = pytest.mark.usefixtures("no_download")
SPLITS: tuple[SplitName, ...] = ("train", "test")
FILES = {
    "cifar10": [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"],
    "cifar100": ["train", "test", "meta"],
}
EVERY_FILE = [(name, file) for name, files in FILES.items() for file in files]
READERS: dict[str, tuple[Any, Any]] = {"cifar10": (cifar10, CIFAR10), "cifar100": (cifar100, CIFAR100)}


def small_cifar10() -> dict[str, bytes]:
    """Two images a file. Image j of file i: red 10i + j, green 100 + i (7 in row 1, column 2), blue 200."""
    contents = {}
    for i, name in enumerate(FILES["cifar10"][:6]):
        planes = np.empty((2, 3, 32, 32), dtype=np.uint8)
        planes[:, 0] = np.array([10 * i, 10 * i + 1])[:, None, None]
        planes[:, 1], planes[:, 2], planes[:, 1, 1, 2] = 100 + i, 200, 7
        contents[name] = as_python2({"data": planes.reshape(2, 3072), "labels": [i, 9 - i]})
    contents["batches.meta"] = as_python2({"label_names": [f"name {i}" for i in range(10)]})
    return contents


def small_cifar100() -> dict[str, bytes]:
    """Three random images a file, whose coarse labels are others than the fine ones."""
    contents = {}
    for file, fine in (("train", [99, 0, 50]), ("test", [1, 2, 3])):
        data = np.random.default_rng(len(file)).integers(0, 256, (3, 3072), dtype=np.uint8)
        contents[file] = as_python2({"data": data, "fine_labels": fine, "coarse_labels": [7, 8, 9]})
    fine_names, coarse_names = [f"fine {i}" for i in range(100)], [f"coarse {i}" for i in range(20)]
    contents["meta"] = as_python2({"fine_label_names": fine_names, "coarse_label_names": coarse_names})
    return contents


def written(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, bytes]]:
    contents = small_cifar10() if name == "cifar10" else small_cifar100()
    published = READERS[name][1]
    publish_cifar(published, contents, monkeypatch)
    return write_files(root / published.base_folder, contents), contents


def test_cifar10_reads_five_batches_in_order_with_color_planes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written("cifar10", tmp_path, monkeypatch)
    train, test = cifar10(tmp_path, "train"), cifar10(tmp_path, "test")
    assert train.images.shape == (10, 3, 32, 32)
    assert train.images[:, 0, 5, 5].tolist() == [0, 1, 10, 11, 20, 21, 30, 31, 40, 41]
    assert train.images[:, 1, 5, 5].tolist() == [100, 100, 101, 101, 102, 102, 103, 103, 104, 104]
    assert (train.images[:, 1] == 7).nonzero().tolist() == [[n, 1, 2] for n in range(10)]
    assert (train.images[:, 2] == 200).all()
    assert train.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert test.images[:, 0, 5, 5].tolist() == [50, 51]
    assert test.labels.tolist() == [5, 4]
    assert train.classes == tuple(f"name {i}" for i in range(10))
    assert train.flip_invariant


@pytest.mark.parametrize("split_name", SPLITS)
@pytest.mark.parametrize("name", FILES)
def test_small_files_are_read_as_torchvision_does(
    name: str, split_name: SplitName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(name, tmp_path, monkeypatch)
    source, published = READERS[name]
    ours = source(tmp_path, split_name)
    # torchvision reads Python 2's strings as text; what Python 3 writes for them it would leave as bytes
    monkeypatch.setattr(pickle, "load", lambda file, encoding: _as_text(pickle.loads(file.read(), encoding=encoding)))
    theirs = published(str(tmp_path), train=split_name == "train")
    assert np.array_equal(ours.images.permute(0, 2, 3, 1).numpy(), theirs.data)
    assert ours.labels.tolist() == theirs.targets
    assert list(ours.classes) == theirs.classes
    assert (ours.images.dtype, ours.labels.dtype) == (torch.uint8, torch.int64)


def _as_text(content: Any) -> Any:
    if isinstance(content, dict):
        return {_as_text(key): _as_text(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_as_text(item) for item in content]
    return content.decode() if isinstance(content, bytes) else content


def test_cifar100_takes_the_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written("cifar100", tmp_path, monkeypatch)
    train = cifar100(tmp_path, "train")
    assert train.labels.tolist() == [99, 0, 50]
    assert train.classes[99] == "fine 99"
    assert len(train.classes) == 100


class Bomb:
    """A pickle of it makes a folder when it is opened, by a function that all versions of the protocol can name."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.target),))


@pytest.mark.parametrize(("name", "file"), EVERY_FILE)
def test_a_file_whose_sum_is_wrong_is_never_opened(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = written(name, tmp_path, monkeypatch)
    target = tmp_path / "executed"
    (folder / file).write_bytes(pickle.dumps(Bomb(target)))
    pickle.loads((folder / file).read_bytes())
    assert target.exists()  # the bomb works
    target.rmdir()
    with pytest.raises(UserError) as caught:
        READERS[name][0](tmp_path, "test" if file.startswith("test") else "train")
    assert str(folder / file) in str(caught.value)
    assert "MD5" in str(caught.value)
    assert "data.root=" in str(caught.value)
    assert not target.exists()


def test_one_flipped_bit_and_a_truncated_file_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, contents = written("cifar10", tmp_path, monkeypatch)
    flipped = bytearray(contents["data_batch_4"])
    flipped[1000] ^= 1
    for content in (bytes(flipped), contents["data_batch_4"][:-1], b""):
        (folder / "data_batch_4").write_bytes(content)
        with pytest.raises(UserError, match="data_batch_4 is damaged"):
            cifar10(tmp_path, "train")


@pytest.mark.parametrize(("name", "file"), EVERY_FILE)
def test_the_one_file_that_is_missing_is_named(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = written(name, tmp_path, monkeypatch)
    (folder / file).unlink()
    with pytest.raises(UserError) as caught:
        READERS[name][0](tmp_path, "train")
    assert str(folder / file) in str(caught.value)
    assert "missing" in str(caught.value)
    assert "data.root=" in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_missing_without_a_network_is_explained(name: str, tmp_path: Path) -> None:
    source, published = READERS[name]
    with pytest.raises(UserError) as caught:
        source(tmp_path, "train")
    text = str(caught.value)
    assert f"no CIFAR-{name.removeprefix('cifar')} in {tmp_path / published.base_folder}" in text
    assert all(word in text for word in ("data.root=", "CONVLINE_DATA", "data=digits"))


@pytest.mark.realdata
@pytest.mark.parametrize("split_name", SPLITS)
def test_cifar10_equals_torchvisions(split_name: SplitName, data_root: Path) -> None:
    ours, theirs = cifar10(data_root, split_name), CIFAR10(str(data_root), train=split_name == "train")
    assert np.array_equal(ours.images.permute(0, 2, 3, 1).numpy(), theirs.data)
    assert ours.labels.tolist() == theirs.targets
    assert list(ours.classes) == theirs.classes
