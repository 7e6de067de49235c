"""A folder of one's own images: which are trained on, which test, what is said of the rest."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convline.data.sources.image_decoding import decode
from convline.errors import UserError
from support.pets import SPLITS, levels, pets, read, write

pytestmark = pytest.mark.usefixtures("cache")


def test_a_part_of_each_class_is_kept_for_the_test(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets")
    train, test = (read(root, split_name) for split_name in SPLITS)
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
    parts = [read(root, split_name, shape=(3, 5, 4), resize="squash") for split_name in SPLITS]
    assert {image.numpy().tobytes() for split_name in parts for image in split_name.images} == expected


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
    train, test = (read(tmp_path / "pets", split_name) for split_name in SPLITS)
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
    assert sum(len(read(root, split_name)) for split_name in SPLITS) == 14
    assert read(root, "train").notices == ()


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
    counts = sum(read(root, split_name).labels.bincount() for split_name in SPLITS)
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
    assert sum(len(read(root, split_name)) for split_name in SPLITS) == 6


def test_a_root_by_another_way_is_the_same_folder(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pets(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "pets")
    prints = {read(root, "train").fingerprint() for root in (Path("pets"), tmp_path / "pets")}
    assert len(prints) == 1
    assert len(list(cache.rglob("*.npy"))) == 1
    assert read(Path("link"), "train").fingerprint() in prints
