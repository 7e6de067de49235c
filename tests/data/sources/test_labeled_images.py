"""Images of a folder that a file lists with their labels, as tensors."""

from pathlib import Path

import pytest

from convline.data.sources import Images
from convline.errors import UserError
from support.pets import levels, read, write


def listed(root: Path, text: str, **settings: object) -> tuple[Images, Images]:
    (root / "labels.csv").write_text(text)
    return read(root, "train", labels="labels.csv", **settings), read(root, "test", labels="labels.csv", **settings)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(10):
        write(tmp_path / "images" / f"{number}.png", number)
    return tmp_path


def rows(suffix: str = ".png") -> str:
    return "".join(f"{number}{suffix},{int(number % 2 == 0)},{int(number < 7)}\n" for number in range(10))


@pytest.mark.parametrize("suffix", [".png", ""])
def test_labels_belong_to_their_images(root: Path, suffix: str) -> None:
    train, test = listed(root, f"id,even,small\n{rows(suffix)}")
    assert (len(train), len(test), train.classes) == (8, 2, ("even", "small"))
    for images in (train, test):
        expected = [[level % 2 == 0, level < 7] for level in levels(images)]
        assert images.is_multilabel
        assert images.labels.tolist() == expected


def test_a_change_of_labels_is_a_change_of_data(root: Path) -> None:
    before, _ = listed(root, f"id,even,small\n{rows()}")
    after, _ = listed(
        root, f"id,even,small\n{rows().replace('7.png,0,0', '7.png,0,1').replace('6.png,1,1', '6.png,1,0')}"
    )
    assert before.fingerprint() != after.fingerprint()


def test_one_label_each(root: Path) -> None:
    text = "id,label\n" + "".join(f"{number},{'ab'[number % 2]}\n" for number in range(9))
    train, test = listed(root, text)
    assert not train.is_multilabel
    assert train.labels.tolist() == [level % 2 for level in levels(train)]
    assert sorted(test.labels.tolist()) == [0, 1]  # a fifth of each class
    assert "1 image that is not in the list of labels (images/9.png)" in train.notices[0]


def test_splits_of_hugging_face(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("validation", 100)):
        for number in range(4):
            write(tmp_path / split / f"{number}.png", first + number)
        text = "".join(f"{number}.png,{'ab'[number % 2]}\n" for number in range(4))
        (tmp_path / split / "metadata.csv").write_text(f"file_name,label\n{text}")
    train, test = read(tmp_path, "train"), read(tmp_path, "test")
    assert (levels(train), levels(test)) == ([0, 1, 2, 3], [100, 101, 102, 103])
    assert test.labels.tolist() == [0, 1, 0, 1]
    assert "the folder validation of" in train.notices[0]


def test_a_class_folder_for_validation_is_the_test_set(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("validation", 100)):
        for name in "ab":
            write(tmp_path / split / name / "1.png", first)
    assert levels(read(tmp_path, "test")) == [100, 100]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\n1.png,a\n2.png,b\n99.png,a\n", r"1 of the listed images is not in .*: 99.png"),
        ("id,label\n1.png,a\n2.png,b\nimages/1.png,a\n", "list images/1.png twice: as 1.png and as images/1.png"),
        (f"id,even,none\n{''.join(f'{n},{n % 2},0' + chr(10) for n in range(10))}", "no train image of the class none"),
    ],
)
def test_a_mistake_is_explained(root: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        listed(root, text)


def test_two_images_of_one_name(root: Path) -> None:
    write(root / "more" / "1.png", 50)
    with pytest.raises(UserError, match=r"has 2 images of this name: images/1\.png, more/1\.png"):
        listed(root, "id,label\n1.png,a\n2.png,b\n")
