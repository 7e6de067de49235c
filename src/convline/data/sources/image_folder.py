"""Read a user's own images, in class folders or listed in a file: decode them once, and cache them as one array."""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from convline.config.class_folders import ClassFolders, find_classes
from convline.config.label_files import LabeledImages, find_labels
from convline.data.array_cache import cached_array, writable_cache
from convline.data.sources.base import Images, SplitName
from convline.data.sources.image_decoding import Resize, Shape, decode_all, measure_depth
from convline.data.sources.image_folder_files import (
    MAX_SHOWN,
    File,
    list_files,
    list_labeled_files,
    split_files,
)
from convline.errors import UserError
from convline.formatting import shape_text
from convline.machine import check_memory
from convline.storage import cache_directory, make_private, short_hash

CACHE_VERSION = 2  # increase it when the decoding changes, so that cached arrays are computed anew


def folder(
    root: Path,
    split_name: SplitName,
    shape: Sequence[int],
    resize: Resize,
    test_fraction: float,
    test_seed: int,
    broken: Literal["refuse", "skip"],
    labels: str | None = None,
    column: str | None = None,
) -> Images:
    """Read images from `root`/<class>/…, or from `root`/train/<class>/… and `root`/test/<class>/…, or from a list.

    Args:
        root: the folder.
        split_name: which official set.
        shape: channels (1 or 3), height and width of the decoded images.
        resize: see `decode`.
        test_fraction: fraction of each class for the test set, in the first layout; see `split_files`.
        test_seed: seed of the choice of test images.
        broken: raise an error for images that cannot be decoded ("refuse"), or leave them out ("skip").
        labels, column: the file that lists the images with their labels, and its column of labels; see `find_labels`.
    Raises:
        UserError: the folder has no such layout, a class is empty, an image is broken, or the cache cannot be written.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise UserError(f"data.channels={channels}: images of a folder have 1 channel (gray) or 3 (color)")
    check_memory(
        16 * math.prod(shape), f"pictures of {shape_text(shape)}, while they are resized,", "Type: data.image_size=64"
    )
    root = Path(root)
    layout = find_labels(root, labels, column) or find_classes(root)
    is_listed, is_multilabel = False, False
    if isinstance(layout, LabeledImages):
        is_listed, is_multilabel = True, layout.is_multilabel
        files, unused = list_labeled_files(root, layout)
    else:
        files, unused = list_files(root, layout)
    splits = split_files(files, layout.classes, is_multilabel, test_fraction, test_seed)
    all_files = splits["train"] + splits["test"]
    broken_now: dict[str, str] = {}
    depths: list[int | None] = []  # of gray files of 16 bits, once they are decoded
    # a file of labels can change while the images stay as they are
    listed = [layout.classes, len(splits["train"]), [file.labels for file in all_files]] if is_listed else []

    def make_metadata(array: np.ndarray) -> dict[str, Any]:
        sets = {name: _take(array, splits, broken_now, layout.classes, is_multilabel, name) for name in splits}
        return {
            "broken": broken_now,
            "depth": depths[-1],
            "fingerprints": {name: images.fingerprint() for name, images in sets.items()},
        }

    with writable_cache(cache_directory()):
        make_private(cache_directory())
    array, metadata = cached_array(
        folder=cache_directory() / "folders" / f"{_plain(root.absolute().name)}-{_hash(os.path.realpath(root))}",
        version=_hash([CACHE_VERSION, [_state(root, file) for kept in files.values() for file in kept], *listed]),
        settings=_hash([channels, height, width, resize, "all" in files and [test_fraction, test_seed]]),
        max_shape=(len(all_files), height, width, channels),
        make_rows=lambda: _decode_with_bar(root, all_files, (channels, height, width), resize, broken_now, depths),
        make_metadata=make_metadata,
    )
    left_out: dict[str, str] = metadata["broken"]
    if left_out and broken == "refuse":
        raise UserError(
            f"{_describe(root, left_out, len(all_files))}\n"
            "  Mend them or take them away; or go on without them: data.source.broken=skip"
        )
    images = _take(array, splits, left_out, layout.classes, is_multilabel, split_name)
    # of listed images, those of the test may lack a class
    if split_name == "train" or isinstance(layout, ClassFolders):
        in_use = {label for file in splits[split_name] if file.name not in left_out for label in file.labels}
        for label in sorted(set(range(len(layout.classes))) - in_use):
            cause = " is left without the broken ones" if left_out else ", but one is needed"
            raise UserError(f"no {split_name} image of the class {layout.classes[label]}{cause}.")
    notices = _unused(root, layout, unused, left_out, len(all_files))
    if metadata["depth"] not in (None, 16):
        depth = metadata["depth"]
        notices = (*notices, f"gray images of 16 bits in {root} use {depth} of them: {2**depth - 1:,} becomes white")
    return replace(images, notices=notices, known_fingerprint=metadata["fingerprints"][split_name])


def _decode_with_bar(
    root: Path,
    files: Sequence[File],
    shape: Shape,
    resize: Resize,
    broken: dict[str, str],
    depths: list[int | None],
) -> Iterator[np.ndarray]:
    """Yield the images that can be decoded, in order; put the reasons of the others into `broken`.

    The bits of a pixel that gray files of 16 bits use, in all files together, are appended to `depths`.
    """
    console = Console()
    paths = [root / file.name for file in files]
    depths.append(measure_depth(paths))
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
        contextlib.closing(decode_all(paths, shape, resize, depths[-1])) as images,
    ):
        task = bar.add_task(f"decoding {len(files):,} images", total=len(files))
        for file, image in zip(files, images, strict=True):
            if isinstance(image, str):
                broken[file.name] = image
            else:
                yield image.transpose(1, 2, 0)  # channels last, as `Images` wants them
            bar.advance(task)
    if len(broken) == len(files):
        raise UserError(_describe(root, broken, len(files)))


def _take(
    array: np.ndarray,
    splits: dict[SplitName, list[File]],
    broken: dict[str, str],
    classes: tuple[str, ...],
    is_multilabel: bool,
    split_name: SplitName,
) -> Images:
    """Return one official set from the array, which holds the training images first."""
    labels = {name: [file.labels for file in files if file.name not in broken] for name, files in splits.items()}
    start = 0 if split_name == "train" else len(labels["train"])
    images = torch.from_numpy(np.asarray(array[start : start + len(labels[split_name])]))
    if is_multilabel:
        targets = torch.zeros(len(images), len(classes))
        for row, numbers in enumerate(labels[split_name]):
            targets[row, list(numbers)] = 1
    else:
        targets = torch.tensor([numbers[0] for numbers in labels[split_name]], dtype=torch.int64)
    return Images(images.permute(0, 3, 1, 2), targets, classes)


def _describe(root: Path, broken: dict[str, str], num_files: int) -> str:
    listed = [f"  {_shown(name)}: {why}" for name, why in list(broken.items())[:MAX_SHOWN]]
    more = [f"  and {len(broken) - MAX_SHOWN:,} more"] if len(broken) > MAX_SHOWN else []
    verb = "is" if len(broken) == 1 else "are"
    return "\n".join([f"{len(broken):,} of {num_files:,} images in {root} {verb} broken:", *listed, *more])


def _unused(
    root: Path, layout: ClassFolders | LabeledImages, others: list[str], broken: dict[str, str], num_files: int
) -> tuple[str, ...]:
    """Return a notice for each kind of file that is not used."""
    notices = []
    if layout.test_split not in ("", "test"):
        notices.append(
            f"the folder {layout.test_split} of {root} is the test set, since there is no folder test; validation "
            "images are taken from train"
        )
    if layout.unread:
        notices.append(f"not read in {root}: {', '.join(layout.unread)}; validation images are taken from train")
    if others:
        names = ", ".join(map(_shown, others[:MAX_SHOWN])) + (", …" if len(others) > MAX_SHOWN else "")
        if isinstance(layout, LabeledImages):
            num_files_text = "1 image that is" if len(others) == 1 else f"{len(others):,} images that are"
            notices.append(f"left out of {root}: {num_files_text} not in the list of labels ({names})")
        else:
            num_files_text = "1 file" if len(others) == 1 else f"{len(others):,} files"
            notices.append(f"left out of {root}: {num_files_text} without the ending of an image ({names})")
    if broken:
        notices.append(f"{_describe(root, broken, num_files)}\n  They are left out, as data.source.broken=skip says.")
    return tuple(notices)


def _state(root: Path, file: File) -> tuple[str, int, int, bool]:
    """Return name, size, time and readability of a file: if they are unchanged, the cached image is used."""
    return file.name, file.size, file.modified, os.access(root / file.name, os.R_OK)


def _plain(name: str) -> str:
    """Shorten a name and replace special characters, so that a person can read it in the cache."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name[:40])


def _shown(name: str) -> str:
    """Return a file's name in a form that can be printed, whatever bytes it has."""
    return os.fsencode(name).decode(errors="replace")


def _hash(content: Any) -> str:
    return short_hash(json.dumps(content))
