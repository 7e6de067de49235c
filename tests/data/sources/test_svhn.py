"""SVHN: MATLAB's order of axes, label 10 for the digit 0, and damaged files."""

import importlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision.datasets import SVHN

from convline.data.sources import SplitName, svhn
from convline.errors import UserError
from support.data_files import md5

pytestmark = pytest.mark.usefixtures("no_download")
module = importlib.import_module("convline.data.sources.svhn")  # the package's attribute is the function
COUNT = {"train": 1030, "test": 20}


def write(root: Path, split_name: SplitName, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Path:
    """A compressed .mat file as the published one is: X of rows × columns × channels × images, y a column."""
    count = COUNT[split_name]
    pixels = np.random.default_rng(len(split_name)).integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
    labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
    content = io.BytesIO()
    savemat(content, {"X": pixels, "y": labels} | changed, do_compression=True)
    url, name, _ = SVHN.split_list[split_name]
    path = root / name
    path.write_bytes(content.getvalue())
    monkeypatch.setitem(SVHN.split_list, split_name, [url, name, md5(content.getvalue())])
    monkeypatch.setitem(module.COUNTS, split_name, count)
    return path


@pytest.mark.parametrize("split_name", ["train", "test"])
def test_images_and_labels_are_those_that_torchvision_reads(
    split_name: SplitName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, split_name, monkeypatch)
    ours, theirs = svhn(tmp_path, split_name), SVHN(str(tmp_path), split_name)
    assert np.array_equal(ours.images.numpy(), theirs.data)
    assert np.array_equal(ours.labels.numpy(), theirs.labels)
    assert ours.labels[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert (ours.images.dtype, ours.labels.dtype) == (torch.uint8, torch.int64)
    assert ours.images.is_contiguous(memory_format=torch.channels_last)
    assert ours.classes == tuple("0123456789")
    assert not ours.flip_invariant


def test_row_and_column_are_not_swapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((32, 32, 3, 20), dtype=np.uint8)
    pixels[4, 9, 2, 13] = 200  # row, column, blue, image
    write(tmp_path, "test", monkeypatch, X=pixels)
    assert svhn(tmp_path, "test").images.nonzero().tolist() == [[13, 2, 4, 9]]


def test_counts_are_the_published_ones() -> None:
    assert module.COUNTS == {"train": 73_257, "test": 26_032}


@pytest.mark.parametrize("cut", [0, 1, 1000])
def test_a_file_with_another_sum_is_named(cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "test", monkeypatch)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content[: len(content) - cut])
    with pytest.raises(UserError, match="published MD5 sum") as caught:
        svhn(tmp_path, "test")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"X": np.zeros((32, 32, 3, 19), dtype=np.uint8)}, r"\(32, 32, 3, 19\) pixels"),
        ({"y": np.ones((19, 1), dtype=np.uint8)}, r"\(19,\) labels"),
        ({"y": np.zeros((20, 1), dtype=np.uint8)}, "labels from 0 to 0, but they are 1 to 10"),
        ({"y": np.full((20, 1), 11, dtype=np.uint8)}, "labels from 11 to 11"),
    ],
)
def test_other_content_is_named(
    changed: dict[str, Any], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "test", monkeypatch, **changed)
    with pytest.raises(UserError, match=why) as caught:
        svhn(tmp_path, "test")
    assert "data.root=" in str(caught.value)


def test_missing_without_a_network_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        svhn(tmp_path, "train")
    text = str(caught.value)
    assert f"no train_32x32.mat in {tmp_path}" in text
    assert all(word in text for word in ("data.root=", "CONVLINE_DATA", "data=digits"))
