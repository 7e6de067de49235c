"""A folder of one's own images: which are trained on, which test, what is cached, what is said of the rest."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convline.data.cache import cached_array
from convline.data.sources import Images, Part, folder
from convline.data.sources.decode import decode
from convline.errors import UserError

PARTS: tuple[Part, ...] = ("train", "test")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path, level: int, size: tuple[int, int] = (6, 6)) -> None:
    """A grey PNG of one level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, level, dtype=np.uint8)).save(path)


def pets(root: Path, count: int = 10) -> Path:
    """Levels 0, 1, … are cats, 100, 101, … dogs, of mixed sizes."""
    for i in range(count):
        write(root / "cats" / f"{i}.png", i, (5 + i, 6))
        write(root / "dogs" / f"{i}.png", 100 + i, (6, 5 + i))
    return root


def read(root: Path, part: Part, **changed: Any) -> Images:
    settings = {"shape": (1, 4, 4), "resize": "crop", "test_fraction": 0.2, "test_seed": 0, "broken": "refuse"}
    return folder(root, part, **{**settings, **changed})  # type: ignore[arg-type]


def levels(images: Images) -> list[int]:
    """Each image's level, which tells the image."""
    assert (images.images.flatten(1) == images.images[:, 0, 0, :1]).all()
    return images.images[:, 0, 0, 0].tolist()


def test_a_part_of_each_class_is_kept_for_the_test(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets")
    train, test = (read(root, part) for part in PARTS)
    assert train.classes == test.classes == ("cats", "dogs")
    assert train.labels.tolist() == [0] * 8 + [1] * 8
    assert test.labels.tolist() == [0] * 2 + [1] * 2
    assert [level // 100 for level in levels(train)] == train.labels.tolist()
    assert [level // 100 for level in levels(test)] == test.labels.tolist()
    assert sorted(levels(train) + levels(test)) == [*range(10), *range(100, 110)]
    assert levels(train) == sorted(levels(train))  # natural order of the names
    assert (train.images.dtype, train.labels.dtype) == (torch.uint8, torch.int64)
    assert train.notices == ()


def test_pixels_are_those_of_decode_train_images_first(tmp_path: Path) -> None:
    root = tmp_path / "noise"
    rng = np.random.default_rng(0)
    for i in range(6):
        (root / str(i % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(root / str(i % 2) / f"{i}.bmp")
    expected = {decode(path, (3, 5, 4), "squash").tobytes() for path in root.rglob("*.bmp")}
    parts = [read(root, part, shape=(3, 5, 4), resize="squash") for part in PARTS]
    assert {image.numpy().tobytes() for part in parts for image in part.images} == expected


@pytest.mark.parametrize(("fraction", "counts"), [(0.2, [2, 2]), (0.01, [1, 1]), (0.99, [9, 9]), (0.5, [5, 5])])
def test_every_class_is_in_both_parts(fraction: float, counts: list[int], tmp_path: Path) -> None:
    root = pets(tmp_path / "pets")
    assert read(root, "test", test_fraction=fraction).labels.bincount().tolist() == counts
    assert read(root, "train", test_fraction=fraction).labels.bincount().tolist() == [10 - n for n in counts]


def test_the_test_part_hangs_on_its_seed_and_on_names_alone(tmp_path: Path) -> None:
    small, large = pets(tmp_path / "small", 40), pets(tmp_path / "elsewhere" / "large", 50)
    first = set(levels(read(small, "test")))
    assert set(levels(read(small, "test", test_seed=1))) != first
    assert set(levels(read(pets(tmp_path / "again", 40), "test"))) == first
    # ten more images a class: of 2 × 8 test images only those leave that newer names displace
    assert len(set(levels(read(large, "test"))) & first) >= 13


def test_train_and_test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    pets(tmp_path / "pets" / "train", 5)
    for i in range(3):
        write(tmp_path / "pets" / "test" / "cats" / f"{i}.png", 50 + i)
        write(tmp_path / "pets" / "test" / "dogs" / "deep" / "er" / f"{i}.png", 150 + i)
    write(tmp_path / "pets" / "val" / "cats" / "1.png", 255)
    (tmp_path / "pets" / "train" / "list.csv").touch()
    train, test = (read(tmp_path / "pets", part) for part in PARTS)
    assert levels(train) == [*range(5), *range(100, 105)]
    assert levels(test) == [50, 51, 52, 150, 151, 152]
    assert "val; validation images are taken from train" in train.notices[0]
    assert "1 file without the ending of an image (train/list.csv)" in train.notices[1]


def test_other_files_are_counted_and_hidden_ones_are_not(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets")
    for name in (
        "cats/notes.txt",
        "cats/.DS_Store",
        ".git/1.png",
        "README.md",
        "top.png",
        *(f"dogs/{i}.x" for i in range(5)),
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    train = read(root, "train")
    assert len(train) == 16
    (notice,) = train.notices
    assert "8 files" in notice
    assert "README.md, top.png, cats/notes.txt" in notice
    assert notice.endswith(", …)")


def test_endings_of_either_case_are_images(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets", 3)
    for ending in ("PNG", "Jpg", "jpeg", "BMP", "webp", "gif", "tif", "TIFF"):
        image = Image.fromarray(np.full((6, 6), 50, dtype=np.uint8))
        image.save(root / "cats" / f"x.{ending}", format={"Jpg": "jpeg", "tif": "tiff"}.get(ending, ending.lower()))
    assert sum(len(read(root, part)) for part in PARTS) == 14
    assert read(root, "train").notices == ()


# --- the cache ------------------------------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files as they are decoded."""
    seen: list[Path] = []

    def count(path: Path, *args: Any) -> np.ndarray:
        seen.append(path)
        return decode(path, *args)

    monkeypatch.setattr(importlib.import_module("convline.data.sources.decode"), "decode", count)
    return seen


def test_images_are_decoded_once_into_one_file(tmp_path: Path, cache: Path, decoded: list[Path]) -> None:
    root = pets(tmp_path / "pets")
    first = [read(root, part) for part in PARTS]
    again = [read(root, part) for part in PARTS]
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
    module, arrays = importlib.import_module("convline.data.sources.folder"), []

    def remember(**options: Any) -> Any:
        arrays.append(cached_array(**options))
        return arrays[-1]

    monkeypatch.setattr(module, "cached_array", remember)
    images = read(pets(tmp_path / "pets"), "train", shape=shape)
    ((array, _),) = arrays
    assert isinstance(array, np.memmap)
    assert np.shares_memory(array, images.images.numpy())


def test_the_kept_fingerprint_is_that_of_the_pixels(tmp_path: Path) -> None:
    for part in PARTS:
        images = read(pets(tmp_path / "pets"), part)
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
    module = importlib.import_module("convline.data.sources.folder")  # the package's attribute is the function

    def interrupted(paths: Any, shape: Any, resize: Any) -> Any:
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
    expected = {part: levels(read(whole, part)) for part in PARTS}
    root = broken_pets(pets(tmp_path / "pets"), "dogs/3.png", "cats/0.png", "cats/5.png")
    decoded.clear()
    for part in PARTS:
        images = read(root, part, broken="skip")
        # the others stay in the part where they are
        assert levels(images) == [level for level in expected[part] if level not in (103, 0, 5)]
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


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets")
    (root / "birds").mkdir()
    (root / "birds" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"pets/birds holds no images \(\.bmp, .*\.webp\)"):
        read(root, "train")


def test_a_class_of_one_image_cannot_be_in_both_parts(tmp_path: Path) -> None:
    write(pets(tmp_path / "pets") / "birds" / "1.png", 1)
    with pytest.raises(UserError, match="the class birds has one image"):
        read(tmp_path / "pets", "train")


def test_two_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.channels=2"):
        read(pets(tmp_path / "pets"), "train", shape=(2, 4, 4))


# --- links and odd names --------------------------------------------------------------------------------------------


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets", 3)
    pets(tmp_path / "more", 2)
    (root / "cats" / "self").symlink_to(root / "cats")
    (root / "cats" / "up").symlink_to(root)
    (root / "cats" / "more").symlink_to(tmp_path / "more" / "cats")
    (root / "dogs" / "one.png").symlink_to(tmp_path / "more" / "dogs" / "1.png")
    counts = sum(read(root, part).labels.bincount() for part in PARTS)
    assert counts.tolist() == [3 + 2, 3 + 1]


def test_a_link_that_leads_nowhere_is_a_broken_image(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets")
    (root / "cats" / "gone.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(UserError, match=r"cats/gone\.png: No such file"):
        read(root, "train")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets")
    os.mkfifo(root / "cats" / "pipe.png")
    assert len(read(root, "train")) == 16


def test_names_of_any_bytes(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets", 3)
    (root / "cats" / "0.png").rename(str(root) + "/cats/\udcff [bold] \n.png")
    Path(str(root) + "/cats/\udcfe.txt").touch()
    assert "\N{REPLACEMENT CHARACTER}.txt" in read(root, "train").notices[0]
    assert sum(len(read(root, part)) for part in PARTS) == 6


def test_a_root_by_another_way_is_the_same_folder(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pets(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "pets")
    prints = {read(root, "train").fingerprint() for root in (Path("pets"), tmp_path / "pets")}
    assert len(prints) == 1
    assert len(list(cache.rglob("*.npy"))) == 1
    assert read(Path("link"), "train").fingerprint() in prints
