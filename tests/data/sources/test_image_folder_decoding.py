"""Images of a folder are decoded once, again when something changed, and refused or skipped if they are broken."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convline.data.array_cache import cached_array
from convline.data.sources import Images
from convline.data.sources.image_decoding import decode
from convline.errors import UserError
from support.pets import SPLITS, levels, pets, read, write

pytestmark = pytest.mark.usefixtures("cache")


# --- the cache ------------------------------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files as they are decoded."""
    seen: list[Path] = []

    def count(path: Path, *args: Any) -> np.ndarray:
        seen.append(path)
        return decode(path, *args)

    monkeypatch.setattr(importlib.import_module("convline.data.sources.image_decoding"), "decode", count)
    return seen


def test_images_are_decoded_once_into_one_file(tmp_path: Path, cache: Path, decoded: list[Path]) -> None:
    root = pets(tmp_path / "pets")
    first = [read(root, split_name) for split_name in SPLITS]
    again = [read(root, split_name) for split_name in SPLITS]
    assert len(decoded) == 20
    (array,) = cache.rglob("*.npy")
    assert np.load(array).shape == (20, 4, 4, 1)  # channels last
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.images, other.images)
        assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 4, 5)])
def test_images_are_the_mapped_array_itself(
    shape: tuple[int, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, arrays = importlib.import_module("convline.data.sources.image_folder"), []

    def remember(**options: Any) -> Any:
        arrays.append(cached_array(**options))
        return arrays[-1]

    monkeypatch.setattr(module, "cached_array", remember)
    images = read(pets(tmp_path / "pets"), "train", shape=shape)
    ((array, _),) = arrays
    assert isinstance(array, np.memmap)
    assert np.shares_memory(array, images.images.numpy())


def test_the_kept_fingerprint_is_that_of_the_pixels(tmp_path: Path) -> None:
    for split_name in SPLITS:
        images = read(pets(tmp_path / "pets"), split_name)
        assert images.fingerprint() == Images(images.images, images.labels, images.classes).fingerprint()


def add(root: Path) -> None:
    write(root / "cats" / "new.png", 77)


def touch(root: Path) -> None:
    os.utime(root / "cats" / "0.png", ns=(0, 0))


def rename(root: Path) -> None:
    (root / "cats" / "0.png").rename(root / "cats" / "0a.png")


def rename_class(root: Path) -> None:
    (root / "cats").rename(root / "lions")


def delete(root: Path) -> None:
    (root / "dogs" / "3.png").unlink()


@pytest.mark.parametrize("change", [add, touch, rename, rename_class, delete])
def test_a_changed_folder_is_decoded_again_and_the_old_array_goes(
    change: Any, tmp_path: Path, cache: Path, decoded: list[Path]
) -> None:
    root = pets(tmp_path / "pets")
    read(root, "train")
    decoded.clear()
    change(root)
    read(root, "train")
    assert len(decoded) == sum(path.suffix == ".png" for path in root.rglob("*"))
    assert len(list(cache.rglob("*.npy"))) == 1


def test_other_settings_have_arrays_of_their_own(tmp_path: Path, cache: Path, decoded: list[Path]) -> None:
    root = pets(tmp_path / "pets")
    changes: list[dict[str, Any]] = [
        {}, {"shape": (3, 4, 4)}, {"shape": (1, 4, 5)}, {"resize": "squash"}, {"test_fraction": 0.3}, {"test_seed": 1},
    ]  # fmt: skip
    for change in [*changes, *changes]:
        read(root, "train", **change)
    assert len(decoded) == 20 * len(changes)
    assert len(list(cache.rglob("*.npy"))) == len(changes)


def test_two_folders_of_one_name_do_not_meet(tmp_path: Path) -> None:
    one, other = pets(tmp_path / "a" / "pets"), pets(tmp_path / "b" / "pets", 5)
    assert len(read(one, "train")) == 16
    assert len(read(other, "train")) == 8
    assert len(read(one, "train")) == 16


def test_a_truncated_array_is_made_again(tmp_path: Path, cache: Path) -> None:
    root = pets(tmp_path / "pets")
    expected = read(root, "test").images.clone()
    (array,) = cache.rglob("*.npy")
    array.write_bytes(array.read_bytes()[:-10])
    assert torch.equal(read(root, "test").images, expected)


def test_interrupted_decoding_leaves_nothing(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("convline.data.sources.image_folder")  # the package's attribute is the function

    def interrupted(paths: Any, shape: Any, *_: Any) -> Any:
        yield np.zeros(shape, dtype=np.uint8)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "decode_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read(pets(tmp_path / "pets"), "train")
    assert [path.name for path in cache.rglob("*") if path.is_file()] == [".lock"]
    assert len(read(tmp_path / "pets", "train")) == 16


# --- broken images --------------------------------------------------------------------------------------------------


def broken_pets(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).write_bytes(b"no image")
    return root


def test_broken_images_are_refused_by_name(tmp_path: Path, decoded: list[Path]) -> None:
    root = broken_pets(pets(tmp_path / "pets"), "dogs/3.png", *(f"cats/{i}.png" for i in range(6)))
    for _ in range(2):  # the second time from the cache
        with pytest.raises(UserError) as caught:
            read(root, "train")
        text = str(caught.value)
        assert f"7 of 20 images in {root} are broken:" in text
        assert sum("no image in a format that is read here" in line for line in text.splitlines()) == 5
        assert "and 2 more" in text
        assert "data.source.broken=skip" in text
        assert len(text.splitlines()) <= 10
    assert len(decoded) == 20


def test_broken_images_are_skipped_and_named(tmp_path: Path, decoded: list[Path]) -> None:
    whole = pets(tmp_path / "whole")
    expected = {split_name: levels(read(whole, split_name)) for split_name in SPLITS}
    root = broken_pets(pets(tmp_path / "pets"), "dogs/3.png", "cats/0.png", "cats/5.png")
    decoded.clear()
    for split_name in SPLITS:
        images = read(root, split_name, broken="skip")
        # the others stay in the split_name where they are
        assert levels(images) == [level for level in expected[split_name] if level not in (103, 0, 5)]
        assert [level // 100 for level in levels(images)] == images.labels.tolist()
        (notice,) = images.notices
        assert "3 of 20 images" in notice
        assert "dogs/3.png: no image in a format" in notice
        assert images.fingerprint() == Images(images.images, images.labels, images.classes).fingerprint()
    assert len(decoded) == 20


def test_mended_images_are_read(tmp_path: Path) -> None:
    root = broken_pets(pets(tmp_path / "pets"), "cats/0.png")
    assert len(read(root, "train", broken="skip")) + len(read(root, "test", broken="skip")) == 19
    write(root / "cats" / "0.png", 0)
    assert len(read(root, "train")) == 16


def test_a_class_that_skipping_empties_is_named(tmp_path: Path) -> None:
    root = broken_pets(pets(tmp_path / "pets"), *(f"cats/{i}.png" for i in range(10)))
    with pytest.raises(UserError, match="no train image of the class cats is left"):
        read(root, "train", broken="skip")
    with pytest.raises(UserError, match="10 of 20 images"):
        read(root, "train")


def test_if_all_are_broken_there_is_nothing_to_skip_to(tmp_path: Path, cache: Path) -> None:
    root = pets(tmp_path / "pets", 2)
    broken_pets(root, "cats/0.png", "cats/1.png", "dogs/0.png", "dogs/1.png")
    with pytest.raises(UserError, match="4 of 4 images"):
        read(root, "train", broken="skip")
    assert not list(cache.rglob("*.npy*"))


# --- deep images and the cache's folder -----------------------------------------------------------------------------


def test_images_of_twelve_bits_keep_their_contrast_and_it_is_said(tmp_path: Path) -> None:
    for name, level in (("a", 1000), ("b", 2000)):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for index in range(4):
            pixels = np.full((4, 4), level, dtype=np.uint16)
            Image.fromarray(pixels).save(tmp_path / "scans" / name / f"{index}.png")
    images = read(tmp_path / "scans", "train")
    assert set(levels(images)) == {round(1000 * 255 / 4095), round(2000 * 255 / 4095)}
    assert any("use 12 of them: 4,095 becomes white" in notice for notice in images.notices)


def test_the_cache_is_private(tmp_path: Path, cache: Path) -> None:
    read(pets(tmp_path / "pets"), "train")
    assert cache.stat().st_mode & 0o777 == 0o700
