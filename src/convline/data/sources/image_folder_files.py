"""List the image files below a user's folder with their classes, and choose the test set among them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from convline.config.class_folders import IMAGE_SUFFIXES, ClassFolders, natural
from convline.config.label_files import LabeledImages
from convline.data.sources.base import SplitName
from convline.errors import UserError
from convline.storage import short_hash

MAX_SHOWN = 5  # files that a message names


@dataclass(frozen=True)
class File:
    """Describe an image file.

    Args:
        name: its path relative to the root, with slashes.
        labels: numbers of its classes: one, unless the images are multi-label.
        size, modified: in bytes; in nanoseconds since 1970. Both are 0 for a broken link.
    """

    name: str
    labels: tuple[int, ...]
    size: int
    modified: int


def list_files(root: Path, layout: ClassFolders) -> tuple[dict[str, list[File]], list[str]]:
    """List the images of each split of the layout, class by class, and the names of other files.

    Both in natural order; hidden files count as neither.

    Raises:
        UserError: a class has no images, or a folder cannot be read.
    """
    files: dict[str, list[File]] = {}
    others = _names_in(root)
    for split, top in layout.splits.items():
        within = "" if top == root else f"{top.name}/"
        if within:
            others += [within + name for name in _names_in(top)]
        files[split] = []
        for label, name in enumerate(layout.classes):
            # the folders above are ancestors too: a link to them would bring the other classes in
            entries = _walk(top / name, within + name, (_identity(root), _identity(top)))
            num_before = len(files[split])
            for path, entry in sorted(entries, key=lambda pair: natural(pair[0])):
                if path.lower().endswith(IMAGE_SUFFIXES):
                    files[split].append(_file(entry, path, (label,)))
                else:
                    others.append(path)
            if len(files[split]) == num_before:
                raise UserError(
                    f"the class folder {top / name} holds no images ({', '.join(IMAGE_SUFFIXES)}).\n"
                    "  Put some there, or take it away"
                )
    return files, others


def list_labeled_files(root: Path, labeled: LabeledImages) -> tuple[dict[str, list[File]], list[str]]:
    """Find the images that files of labels list, in their order, and the names of images that they do not list.

    A name is a path from the folder of its file. If there is no such file, it is searched in all folders below `root`,
    with or without its suffix: Kaggle's CSVs name images by an id, and their folder nowhere.

    Raises:
        UserError: a listed image is not there, or several are of its name, or two names are one image.
    """
    entries = {path: entry for path, entry in _walk(root, "", ()) if path.lower().endswith(IMAGE_SUFFIXES)}
    entries = {path.removeprefix("/"): entry for path, entry in entries.items()}
    by_name: dict[str, list[str]] = {}
    for path in entries:
        name = path.rpartition("/")[2]
        for key in {name, name.rpartition(".")[0]}:
            by_name.setdefault(key, []).append(path)
    files: dict[str, list[File]] = {}
    missing: list[str] = []
    used: dict[str, str] = {}
    for split, listed in labeled.splits.items():
        within = labeled.folders[split].relative_to(root).as_posix()
        prefix = "" if within == "." else f"{within}/"
        files[split] = []
        for name, labels in listed:
            exact = f"{prefix}{name.removeprefix('./')}"
            candidates = [exact] if exact in entries else by_name.get(name.rpartition("/")[2], [])
            candidates = [path for path in candidates if path.startswith(prefix)] or candidates
            if len(candidates) > 1:
                raise UserError(
                    f"the labels name {name}, but {root} has {len(candidates)} images of this name: "
                    f"{', '.join(candidates[:3])}.\n  Write the path of each from the file of labels"
                )
            if not candidates:
                missing.append(name)
                continue
            if candidates[0] in used:
                raise UserError(f"the labels list {candidates[0]} twice: as {used[candidates[0]]} and as {name}.")
            used[candidates[0]] = name
            files[split].append(_file(entries[candidates[0]], candidates[0], labels))
    if missing:
        more = ", …" if len(missing) > MAX_SHOWN else ""
        verb = "is" if len(missing) == 1 else "are"
        raise UserError(
            f"{len(missing):,} of the listed images {verb} not in {root}: {', '.join(missing[:MAX_SHOWN])}{more}.\n"
            f"  Images end in {', '.join(IMAGE_SUFFIXES)}. Put them there, or take their lines out"
        )
    return files, [path for path in entries if path not in used]


def split_files(
    files: dict[str, list[File]], classes: Sequence[str], is_multilabel: bool, fraction: float, seed: int
) -> dict[SplitName, list[File]]:
    """Split the files into training and test set, by their folders or by a fraction of each class.

    In each class, files are sorted by the hash of `seed` and name, and the first ones are the test set. So when images
    are added, nearly all test images stay in the test set, and others join it only to keep the fraction. Multi-label
    images are one class in this.

    Raises:
        UserError: a class has a single image, but both sets need one.
    """
    if "all" not in files:
        return {"train": files["train"], "test": files["test"]}
    members: list[list[str]] = [[]] if is_multilabel else [[] for _ in classes]
    for file in files["all"]:
        members[0 if is_multilabel else file.labels[0]].append(file.name)
    chosen: set[str] = set()
    for name, names in zip(["all"] if is_multilabel else classes, members, strict=True):
        if len(names) == 1:
            raise UserError(
                f"the class {name} has one image, but needs some for training and some for the test.\n  Give it more"
            )
        count = min(max(1, round(fraction * len(names))), len(names) - 1)
        chosen.update(sorted(names, key=lambda name: short_hash(f"{seed} {name}"))[:count])
    return {
        "train": [file for file in files["all"] if file.name not in chosen],
        "test": [file for file in files["all"] if file.name in chosen],
    }


def _walk(
    folder: Path | str, name: str, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield every file below a folder with its name; follow links, but enter no folder within itself."""
    identity = _identity(folder)
    if identity in above:
        return
    for entry in _entries(folder):
        try:
            is_folder, is_image = entry.is_dir(), entry.is_file() or entry.is_symlink()
        except OSError as error:  # of a link to what this user may not see
            raise UserError(f"{entry.path} cannot be read: {error.strerror}") from error
        if is_folder:
            yield from _walk(entry.path, f"{name}/{entry.name}", (*above, identity))
        elif is_image:  # a broken link counts as a broken image
            yield f"{name}/{entry.name}", entry


def _entries(folder: Path | str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read: {error.strerror}") from error


def _names_in(folder: Path) -> list[str]:
    return sorted((entry.name for entry in _entries(folder) if entry.is_file()), key=natural)


def _identity(folder: Path | str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _file(entry: "os.DirEntry[str]", name: str, labels: tuple[int, ...]) -> File:
    try:
        status = entry.stat()
    except OSError:
        return File(name, labels, 0, 0)
    return File(name, labels, status.st_size, status.st_mtime_ns)
