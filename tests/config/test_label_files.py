"""Files that list images with their labels: the common layouts, and a screen for each mistake."""

import json
from pathlib import Path

import pytest

from convline.config.label_files import count_classes, find_labels
from convline.errors import UserError


def write(root: Path, name: str, text: str) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return root


MULTI = [("1.png", (0, 2)), ("2.png", (1,))]
LAYOUTS = {
    "blanks": ("image,labels\n1.png,c a\n2.png,b\n", ("a", "b", "c"), MULTI),
    "bars": ("Image Index,labels\n1.png,No Finding|x\n2.png,b\n", ("b", "No Finding", "x"),
             [("1.png", (1, 2)), ("2.png", (0,))]),
    "semicolons": ("image,labels\n1.png,a;c\n2.png,b\n", ("a", "b", "c"), MULTI),
    "commas in quotes": ('image,labels\n1.png,"a, c"\n2.png,b\n', ("a", "b", "c"), MULTI),
    "columns, in their order": ("id,z,a,b\n1.png,1,0,1\n2.png,0,1.0,0\n", ("z", "a", "b"), MULTI),
    "of a spreadsheet": ("\ufeffid;z;a;b\r\n1.png;1;0;1\r\n\r\n2.png;0;1;0\r\n", ("z", "a", "b"), MULTI),
    "none of the classes": ("id,a,b\n1.png,0,0\n2.png,0,1\n", ("a", "b"), [("1.png", ()), ("2.png", (1,))]),
    "one label, with a blank": ("id,label\n1.png,great tit\n2.png,10\n3.png,9\n", ("9", "10", "great tit"),
                                [("1.png", (2,)), ("2.png", (1,)), ("3.png", (0,))]),
    "columns of classes that exclude each other": ("id,a,b\n1.png,0,1\n2.png,1,0\n", ("a", "b"),
                                                   [("1.png", (1,)), ("2.png", (0,))]),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts(layout: str, tmp_path: Path) -> None:
    text, classes, rows = LAYOUTS[layout]
    write(tmp_path, "labels.csv", text)
    found = find_labels(tmp_path, "labels.csv")
    assert found is not None
    assert found.classes == classes
    assert found.splits == {"all": rows}
    assert found.is_multilabel == any(len(labels) != 1 for _, labels in rows)
    assert count_classes(str(tmp_path), "labels.csv") == len(classes)


def test_a_column_can_be_named(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", "image_name,tags,site\n1.png,a c,x\n2.png,b,y\n")
    found = find_labels(tmp_path, "train.csv", "tags")
    assert found is not None
    assert found.splits == {"all": MULTI}


class TestImageFolder:
    """The layouts of Hugging Face's `imagefolder`."""

    CSV = "file_name,label,text\n1.png,cat,one\n2.png,dog,two\n"
    JSON = "\n".join(json.dumps({"file_name": f"{i}.png", "label": i}) for i in (1, 2)) + "\n"
    LISTS = "\n".join(json.dumps({"file_name": f"{i}.png", "labels": ["a", "b"][:i]}) for i in (1, 2)) + "\n"
    ONE = (("1.png", (0,)), ("2.png", (1,)))

    @pytest.mark.parametrize(("name", "text"), [("metadata.csv", CSV), ("metadata.jsonl", JSON)])
    def test_without_splits(self, name: str, text: str, tmp_path: Path) -> None:
        found = find_labels(write(tmp_path, name, text))
        assert found is not None
        assert (found.splits, found.is_multilabel) == ({"all": list(self.ONE)}, False)

    @pytest.mark.parametrize("test", ["test", "validation"])
    def test_a_file_in_each_split(self, test: str, tmp_path: Path) -> None:
        write(tmp_path, "train/metadata.jsonl", self.LISTS)
        write(tmp_path, f"{test}/metadata.jsonl", self.LISTS)
        write(tmp_path, "raw/x.txt", "")
        found = find_labels(tmp_path)
        assert found is not None
        assert found.splits == {key: [("1.png", (0,)), ("2.png", (0, 1))] for key in ("train", "test")}
        assert found.folders == {"train": tmp_path / "train", "test": tmp_path / test}
        assert (found.test_split, found.unread, found.is_multilabel) == (test, ("raw",), True)

    def test_one_file_for_all_splits(self, tmp_path: Path) -> None:
        write(tmp_path, "train/1.png", "")
        write(tmp_path, "test/2.png", "")
        text = "file_name,label\ntrain/1.png,a\ntest/2.png,b\n"
        found = find_labels(write(tmp_path, "metadata.csv", text))
        assert found is not None
        assert found.splits == {"train": [("train/1.png", (0,))], "test": [("test/2.png", (1,))]}

    def test_metadata_without_labels_says_nothing_of_classes(self, tmp_path: Path) -> None:
        write(tmp_path, "a/1.png", "")
        write(tmp_path, "b/2.png", "")
        assert find_labels(write(tmp_path, "metadata.csv", "file_name,text\na/1.png,x\n")) is None
        assert count_classes(str(tmp_path)) == 2

    def test_a_test_set_without_labels(self, tmp_path: Path) -> None:
        write(tmp_path, "train/metadata.csv", self.CSV)
        write(tmp_path, "test/metadata.csv", "file_name\n3.png\n")
        with pytest.raises(UserError, match=r"test has no metadata\.csv or metadata\.jsonl with labels"):
            find_labels(tmp_path)


MISTAKES = {
    "no file": ("", None, "labels=labels.csv: there is no file .*; files there|files there: none"),
    "no lines": ("id,label\n", None, "lists no images"),
    "one column": ("id\n1.png\n", None, "lists no images"),
    "unknown column": ("id,tags\n1.png,a\n", "tag", "no such column .did you mean 'tags'"),
    "an empty cell": ("id,labels\n1.png,a\n2.png,\n", None, "2.png has no label in the column labels"),
    "no name": ("id,label\n,a\n2.png,b\n", None, "line 2 names no image in the column id"),
    "twice": ("id,label\n1.png,a\n1.png,b\n", None, "lists 1.png twice"),
    "a row too long": ("id,label\n1.png,a,b\n", None, "line 2 has 3 cells, but there are 2 columns"),
    "no 0 or 1": ("id,a,b\n1.png,0,-1\n2.png,1,0\n", None, "column b of 1.png holds '-1'"),
    "one class": ("id,label\n1.png,a\n2.png,a\n", None, "one class only, a"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_explained(case: str, tmp_path: Path) -> None:
    text, column, message = MISTAKES[case]
    if text:
        write(tmp_path, "labels.csv", text)
    with pytest.raises(UserError, match=message):
        find_labels(tmp_path, "labels.csv", column)


@pytest.mark.parametrize("text", ['{"file_name": "1.png", "label"', '["1.png"]\n'])
def test_what_is_no_json_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels\.jsonl"):
        find_labels(write(tmp_path, "labels.jsonl", text), "labels.jsonl")
