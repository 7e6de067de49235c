"""The two layouts of a user's images, and a screen for everything that is neither."""

from pathlib import Path

import pytest

from convline.config import load_config
from convline.config.class_folders import find_classes, natural
from convline.config.label_files import count_classes
from convline.errors import UserError


def make(root: Path, *names: str) -> Path:
    """Folders, and empty files for the names with a dot in their last part."""
    for name in names:
        path = root / name
        if "." in path.name[1:]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True, exist_ok=True)
    return root


def test_class_folders_in_natural_order(tmp_path: Path) -> None:
    make(tmp_path, "class 10", "class 2", "Class 1", ".hidden", "notes.txt", "2", "10")
    found = find_classes(tmp_path)
    assert found.classes == ("2", "10", "Class 1", "class 2", "class 10")
    assert found.splits == {"all": tmp_path}
    assert count_classes(str(tmp_path)) == 5


def test_natural_order_is_one_for_any_names() -> None:
    names = ["a10b", "a2", "A2", "a", "", "10", "9", "a2b1", "²", "a-1"]
    ordered = sorted(names, key=natural)
    names.reverse()
    assert sorted(names, key=natural) == ordered
    assert ordered[:3] == ["", "9", "10"]


def test_train_and_test_with_the_same_classes(tmp_path: Path) -> None:
    make(tmp_path, "train/b", "train/a", "test/a", "test/b", "val/a", "docs")
    found = find_classes(tmp_path)
    assert found.classes == ("a", "b")
    assert found.splits == {"train": tmp_path / "train", "test": tmp_path / "test"}
    assert found.unread == ("docs", "val")


def test_without_a_test_set_that_for_validation_is_it(tmp_path: Path) -> None:
    make(tmp_path, "train/b", "train/a", "validation/a", "validation/b")
    found = find_classes(tmp_path)
    assert found.splits == {"train": tmp_path / "train", "test": tmp_path / "validation"}
    assert (found.test_split, found.unread) == ("validation", ())


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    make(tmp_path, "train/1.png", "plane/1.png", "test/1.png")
    assert find_classes(tmp_path).classes == ("plane", "test", "train")


def test_links_to_folders_are_classes(tmp_path: Path) -> None:
    make(tmp_path, "far/away", "here/a")
    (tmp_path / "here" / "b").symlink_to(tmp_path / "far" / "away")
    (tmp_path / "here" / "c").symlink_to(tmp_path / "nowhere")
    assert find_classes(tmp_path / "here").classes == ("a", "b")


MISTAKES = {
    "not there": ([], "nowhere", ["nowhere is not there", "FOLDER/<class>/<image>"]),
    "a file": (["images.zip"], "images.zip", ["images.zip is a file", "FOLDER/<class>/<image>"]),
    "nothing in it": ([".git", "notes.txt"], "", ["holds no folders", "FOLDER/<class>/<image>"]),
    "images without folders": (["1.png", "2.JPG", "x.txt"], "", ["2 images lie directly in", "FOLDER/<class>/<image>"]),
    "one class": (["cats/1.png"], "", ["one folder only, cats", "at least two classes"]),
    "one folder too high": (["pets/cats", "pets/dogs"], "", ["one folder only, pets", "data.root={root}/pets"]),
    "train without test": (["train/a", "train/b"], "", ["no folder test", "Make one, or", "data.root={root}/train"]),
    "train and val": (["train/a", "train/b", "val/a"], "", ["{root}/val holds one folder only, a"]),
    "test without train": (["test/a", "test/b"], "", ["no folder train"]),
    "other classes": (
        ["train/a", "train/b", "test/b", "test/c"],
        "",
        ["differ: a only in train; c only in test", "the same class folders"],
    ),
    "a class less": (["train/a", "train/b", "train/c", "test/b", "test/c"], "", ["differ: a only in train."]),
    "one class in train": (["train/a", "test/a"], "", ["{root}/train holds one folder only"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_explained(case: str, tmp_path: Path) -> None:
    names, root, texts = MISTAKES[case]
    make(tmp_path, *names)
    with pytest.raises(UserError) as caught:
        find_classes(tmp_path / root)
    for text in texts:
        assert text.format(root=tmp_path) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_class_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a")
    Path(str(tmp_path) + "/b\udcff").mkdir()
    with pytest.raises(UserError, match=r"b'b\\xff'"):
        find_classes(tmp_path)


def test_an_empty_root_is_not_the_current_folder() -> None:
    with pytest.raises(UserError, match=r"data\.root is empty"):
        find_classes("")


def test_the_config_counts_the_classes(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", "c")
    assert load_config(["data=folder", f"data.root={tmp_path}"]).data.num_classes == 3


@pytest.mark.parametrize(
    ("root", "text"),
    [("???", "data.root has no value"), ("nowhere", "^data.root=nowhere is not there"), ("", "^data.root is empty")],
)
def test_a_config_without_a_folder_is_explained(root: str, text: str) -> None:
    with pytest.raises(UserError, match=text) as caught:
        load_config(["data=folder", f"data.root={root}"])
    assert "type data.root=FOLDER" in str(caught.value)
    assert "interpolation" not in str(caught.value)


def test_a_misspelt_key_beside_a_missing_root_is_the_one_that_is_named() -> None:
    with pytest.raises(UserError, match=r"did you mean 'data\.root'"):
        load_config(["data=folder", "data.rot=x"])


def test_a_wrong_value_beside_the_root_is_what_is_named() -> None:
    with pytest.raises(UserError, match=r"data\.image_size.*'big'"):
        load_config(["data=folder", "data.root=x", "data.image_size=big"])


@pytest.mark.parametrize("parts", [("Train", "Test"), ("training", "testing"), ("TRAIN", "Val")])
def test_splits_by_other_names_are_no_classes(parts: tuple[str, str], tmp_path: Path) -> None:
    make(tmp_path, *(f"{part}/{label}/1.png" for part in parts for label in ("cat", "dog")))
    with pytest.raises(UserError, match=f"the folder {parts[0]}.*look like splits, not classes") as caught:
        find_classes(tmp_path)
    assert "spelled train and test" in str(caught.value)
