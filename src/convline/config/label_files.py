"""Read which images of a folder have which labels from a file: a CSV, or the metadata of Hugging Face's `imagefolder`.

A file has one line an image. Three layouts are common, and all are read:

- `file_name,label`: one label an image, as in Hugging Face's `metadata.csv` and `metadata.jsonl`;
- `image,labels`: several labels in one column, as in Kaggle's Plant Pathology 2021 or NIH's ChestX-ray14;
- `image,CLASS,CLASS,…`: a column of 0 and 1 for each class, as in ISIC 2018.

The images have several labels (multi-label) if any image does not have exactly one. No image is opened, so that a
config can count its classes when it is composed.
"""

import csv
import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convline.config.class_folders import VALIDATION, find_classes, natural
from convline.errors import UserError
from convline.formatting import first_line, nearest

FILE_COLUMN = "file_name"  # of Hugging Face; in other files the first column names the image
METADATA = ("metadata.csv", "metadata.jsonl")
SEPARATORS = ("|", ";", ",")  # between the labels of a cell; blanks if a column has none of them
TRUE, FALSE = ("1", "1.0", "True", "true"), ("0", "0.0", "False", "false")


@dataclass(frozen=True)
class LabeledImages:
    """Hold the images that files of labels list.

    Args:
        classes: the classes' names: in natural order, or in that of their columns.
        splits: for "train" and "test", or for "all", the name of each image as its file has it, with its classes.
        folders: for each split, the folder of its file.
        is_multilabel: whether an image may have several labels, or none.
        unread: folders that are not read.
        test_split: the folder that is the test set; "" if there is none.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[tuple[str, tuple[int, ...]]]]
    folders: Mapping[str, Path]
    is_multilabel: bool
    unread: tuple[str, ...] = ()
    test_split: str = ""


@dataclass(frozen=True)
class _Rows:
    """Hold the rows of one file: its columns, and the names and labels of its images."""

    images: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...] | None  # the classes, if each has a column


def find_labels(root: str | Path, labels: str | None = None, column: str | None = None) -> LabeledImages | None:
    """Read the images of a folder from the file `labels`, or from the metadata of Hugging Face's layout.

    Args:
        root: the folder.
        labels: name of a CSV or JSON-lines file, relative to `root`; None looks for `metadata.csv` and
            `metadata.jsonl` in `root`, or in `root`/train and `root`/test (or validation).
        column: column that holds the labels; None: `label`, `labels`, or all other columns, of 0 and 1.
    Returns:
        The images; None if `labels` is None and there is no metadata file with labels.
    Raises:
        UserError: a file is missing or cannot be read, or what it says is no list of labeled images.
    """
    top = Path(root)
    if labels is not None:
        path = top / labels
        if not path.is_file():
            listed = sorted(p.name for p in top.glob("*") if p.suffix in (".csv", ".jsonl")) if top.is_dir() else []
            raise UserError(
                f"data.source.labels={labels}: there is no file {path}{nearest(labels, listed)}.\n"
                f"  It lists the images of data.root with their labels; files there: {', '.join(listed) or 'none'}"
            )
        within = path.parent if path.parent.is_relative_to(top) else top
        return _together({"all": _rows(path, column)}, {"all": within})
    if found := _metadata(top, column):
        rows, test_split = _rows(found, column), _test_split(name.partition("/")[0] for name in set(_folders_in(top)))
        parts = {part: _within(rows, name) for part, name in (("train", "train"), ("test", test_split)) if name}
        if (
            test_split
            and sum(len(part.images) for part in parts.values()) == len(rows.images)
            and all(part.images for part in parts.values())
        ):
            return _together(parts, dict.fromkeys(parts, top), test_split=test_split)
        return _together({"all": rows}, {"all": top})
    names = _folders_in(top)
    if "train" not in names or (file := _metadata(top / "train", column)) is None:
        return None
    test_split = _test_split(names)
    if not test_split:
        return _together({"all": _rows(file, column)}, {"all": top / "train"})
    test_file = _metadata(top / test_split, column)
    if test_file is None:
        raise UserError(
            f"{file} lists the training images, but {top / test_split} has no {' or '.join(METADATA)} with labels.\n"
            "  Put one there, in the same columns"
        )
    unread = tuple(name for name in names if name not in ("train", test_split))
    rows_by_split = {"train": _rows(file, column), "test": _rows(test_file, column)}
    return _together(rows_by_split, {"train": top / "train", "test": top / test_split}, unread, test_split)


def count_classes(root: str, labels: str | None = None, column: str | None = None) -> int:
    """Return the number of classes of the images below `root`, by their labels or by their folders.

    Raises:
        UserError: see `find_labels` and `find_classes`.
    """
    if str(root) and (listed := find_labels(root, labels, column)) is not None:
        return len(listed.classes)
    return len(find_classes(root).classes)


def _folders_in(top: Path) -> list[str]:
    """Return the names of the folders in a folder."""
    return sorted(path.name for path in top.iterdir() if path.is_dir()) if top.is_dir() else []


def _test_split(names: Any) -> str:
    """Return the folder that is the test set: test, or else the one for validation."""
    known = set(names)
    return next((name for name in ("test", *VALIDATION) if name in known), "")


def _within(rows: _Rows, folder: str) -> _Rows:
    """Return the rows whose images lie in a folder."""
    kept = [i for i, name in enumerate(rows.images) if name.startswith(f"{folder}/")]
    return _Rows(tuple(rows.images[i] for i in kept), tuple(rows.labels[i] for i in kept), rows.columns)


def _metadata(folder: Path, column: str | None) -> Path | None:
    """Return the metadata file of a folder, if it has one with a column of labels."""
    for name in METADATA:
        path = folder / name
        if path.is_file():
            known = set(_header(path))
            if FILE_COLUMN in known and known & ({column} if column else {"label", "labels"}):
                return path
    return None


def _together(
    rows: Mapping[str, _Rows], folders: Mapping[str, Path], unread: tuple[str, ...] = (), test_split: str = ""
) -> LabeledImages:
    """Number the classes of all splits alike."""
    columns = next(iter(rows.values())).columns
    in_use = {label for part in rows.values() for labels in part.labels for label in labels}
    classes = columns or tuple(sorted(in_use, key=natural))
    if len(classes) < 2:
        raise UserError(
            f"{next(iter(folders.values()))} has labels of one class only, {''.join(classes)}, but at least two "
            "classes are needed."
        )
    number = {name: index for index, name in enumerate(classes)}
    splits = {
        name: [
            (image, tuple(sorted(number[label] for label in labels)))
            for image, labels in zip(part.images, part.labels, strict=True)
        ]
        for name, part in rows.items()
    }
    is_multilabel = any(len(labels) != 1 for part in splits.values() for _, labels in part)
    return LabeledImages(classes, splits, folders, is_multilabel, unread, test_split)


def _rows(path: Path, column: str | None) -> _Rows:
    status = path.stat()
    return _read_rows(path, column, status.st_mtime_ns, status.st_size)


@functools.lru_cache(8)  # a config counts the classes several times
def _read_rows(path: Path, column: str | None, modified: int, size: int) -> _Rows:
    rows = _mappings(path)
    names = _header(path)
    if not rows or len(names) < 2:
        raise UserError(
            f"{path} lists no images: it needs a first line with the names of columns, and a line an image."
        )
    file_column = FILE_COLUMN if FILE_COLUMN in names else names[0]
    images = tuple(_text(row.get(file_column)).replace("\\", "/") for row in rows)
    _check_images(path, file_column, images)
    others = [name for name in names if name != file_column]
    if column is not None and column not in others:
        raise UserError(
            f"data.source.column={column}: {path} has no such column{nearest(column, others)}.\n"
            f"  Its columns: {', '.join(names)}"
        )
    found = column or next((name for name in ("label", "labels") if name in others), None)
    if found is not None:
        return _Rows(images, _labels_in(path, found, images, [row.get(found) for row in rows]), None)
    labels = []
    for image, row in zip(images, rows, strict=True):
        for name in others:
            if _text(row.get(name)) not in (*TRUE, *FALSE):
                raise UserError(
                    f"{path}: the column {name} of {image} holds '{_text(row.get(name))}', but a column for each class "
                    "holds 0 or 1.\n"
                    f"  If one column holds the labels, name it: data.source.column={others[0]}; take other columns out"
                )
        labels.append(tuple(name for name in others if _text(row.get(name)) in TRUE))
    return _Rows(images, tuple(labels), tuple(others))


def _check_images(path: Path, column: str, images: Sequence[str]) -> None:
    if "" in images:
        raise UserError(f"{path}: line {images.index('') + 2} names no image in the column {column}.")
    seen: set[str] = set()
    for image in images:
        if image in seen:
            raise UserError(f"{path} lists {image} twice.\n  Keep one line an image, with all its labels")
        seen.add(image)


def _labels_in(path: Path, column: str, images: Sequence[str], cells: Sequence[Any]) -> tuple[tuple[str, ...], ...]:
    """Split the cells of a column into labels; those of a column `label` are one label each."""
    texts = [cell for cell in cells if not isinstance(cell, list)]
    separator = next((sign for sign in SEPARATORS if any(sign in _text(cell) for cell in texts)), None)
    found = []
    for image, cell in zip(images, cells, strict=True):
        if isinstance(cell, list):
            labels = [_text(entry) for entry in cell]
        elif column == "label":
            labels = [_text(cell)]
        else:
            labels = _text(cell).split(separator)
        labels = [label.strip() for label in labels if label.strip()]
        if not labels:
            raise UserError(
                f"{path}: {image} has no label in the column {column}.\n"
                "  Take the line out; an image that shows no class needs a column of 0 and 1 for each class"
            )
        found.append(tuple(dict.fromkeys(labels)))
    return tuple(found)


def _header(path: Path) -> list[str]:
    """Return the names of a file's columns."""
    if path.suffix == ".jsonl":
        return list(dict.fromkeys(str(key) for row in _mappings(path) for key in row))
    with _opened(path) as file:
        return [name.strip() for name in next(csv.reader(file, dialect=_dialect(path)), [])]


def _mappings(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a file by the names of their columns."""
    try:
        with _opened(path) as file:
            if path.suffix != ".jsonl":
                names = _header(path)
                lines = [line for line in csv.reader(file, dialect=_dialect(path)) if line][1:]
                for number, line in enumerate(lines, 2):
                    if len(line) != len(names):
                        raise UserError(
                            f"{path}: line {number} has {len(line)} cells, but there are {len(names)} columns."
                        )
                return [dict(zip(names, line, strict=True)) for line in lines]
            rows = [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(
            f'{path}: each line must be an object of JSON, such as {{"file_name": "1.png", "label": "cat"}}.'
        )
    return rows


def _opened(path: Path) -> Any:
    return open(path, newline="", encoding="utf-8-sig")  # spreadsheets write a byte order mark


def _dialect(path: Path) -> type[csv.Dialect]:
    """Return the dialect of a CSV: cells are separated by commas, or by semicolons or tabs, as spreadsheets write."""

    class Dialect(csv.excel):
        delimiter = ","

    with _opened(path) as file:
        first = file.readline()
    Dialect.delimiter = max((",", ";", "\t"), key=lambda sign: (first.count(sign), sign == ","))
    return Dialect


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else re.sub(r"\s+", " ", str(value)).strip()
