"""Find out which folders of a user's images are the classes.

Two layouts: ROOT/<class>/<images>, of which the source keeps a part for the test, and ROOT/train/<class>/<images> with
ROOT/test/<class>/<images>; without a folder test, one for validation is the test set. Only folders are looked at here,
so that a config can count its classes when it is composed.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from convline.errors import UserError

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
VALIDATION = ("val", "valid", "validation")
LIKE_SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")  # in any case
LAYOUT = "  Put the images of each class into a folder of its own: FOLDER/<class>/<image>, and type data.root=FOLDER"


@dataclass(frozen=True)
class ClassFolders:
    """Say where the images lie.

    Args:
        classes: the classes' names, which are their folders', in natural order: "class 2" before "class 10".
        splits: the folder that holds the class folders of a split: of "train" and "test", or of "all".
        unread: folders beside train and test.
        test_split: the folder that is the test set; "" if there is none.
    """

    classes: tuple[str, ...]
    splits: dict[str, Path]
    unread: tuple[str, ...] = ()
    test_split: str = ""


def find_classes(root: str | Path) -> ClassFolders:
    """Find the class folders below `root`.

    Raises:
        UserError: there is no such folder, or it has neither of the two layouts.
    """
    if not str(root):
        raise UserError(f"data.root is empty.\n{LAYOUT}")
    top = Path(root)
    if not os.path.isdir(top):
        raise UserError(f"data.root={root} is {'a file' if os.path.exists(top) else 'not there'}.\n{LAYOUT}")
    names = _folders_in(top)
    splits = [name for name in ("train", "test", *VALIDATION) if name in names and _folders_in(top / name)]
    if not splits and (meant := [name for name in names if name.lower() in LIKE_SPLITS and _folders_in(top / name)]):
        raise UserError(
            f"{top} has {' and '.join(f'the folder {name}' for name in meant)}, with folders inside: these look like "
            "splits, not classes.\n  The two splits are spelled train and test: rename them, or name the folder of one"
        )
    if "train" in splits or "test" in splits:
        return _official(top, names, splits)
    return ClassFolders(_checked(top, names), {"all": top})


def _official(top: Path, names: list[str], splits: list[str]) -> ClassFolders:
    test = next((name for name in ("test", *VALIDATION) if name in splits), "")
    if not test:
        raise UserError(
            f"{top} has the folder train, but no folder test with the same classes.\n"
            f"  Make one, or type data.root={top / 'train'}: a part of it is then kept for the test"
        )
    if "train" not in splits:
        raise UserError(f"{top} has the folder test, but no folder train with the same classes.\n  Make one")
    classes, tested = (_checked(top / split, _folders_in(top / split)) for split in ("train", test))
    if classes != tested:
        only = [
            f"{', '.join(sorted(set(here) - set(there))[:5])} only in {split}"
            for split, here, there in (("train", classes, tested), (test, tested, classes))
            if set(here) - set(there)
        ]
        raise UserError(
            f"the classes of {top / 'train'} and {top / test} differ: {'; '.join(only)}.\n"
            "  Give both the same class folders"
        )
    unread = tuple(name for name in names if name not in ("train", test))
    return ClassFolders(classes, {"train": top / "train", "test": top / test}, unread, test)


def _checked(top: Path, names: list[str]) -> tuple[str, ...]:
    """Return the names as classes, if there are at least two."""
    if len(names) >= 2:
        return tuple(names)
    if not names:
        images = sum(entry.name.lower().endswith(IMAGE_SUFFIXES) for entry in top.iterdir())
        found = f"{images:,} images lie directly in {top}" if images else f"{top} holds no folders"
        raise UserError(f"{found}, but folders tell the classes.\n{LAYOUT}")
    inner = _folders_in(top / names[0])
    advice = f"  Its folders may be meant: type data.root={top / names[0]}" if len(inner) >= 2 else LAYOUT
    raise UserError(f"{top} holds one folder only, {names[0]}, but at least two classes are needed.\n{advice}")


def _folders_in(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, without hidden ones, in natural order."""
    try:
        with os.scandir(folder) as entries:
            names = sorted((e.name for e in entries if e.is_dir() and not e.name.startswith(".")), key=natural)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read: {error.strerror}") from error
    for name in names:
        if not name.isprintable():
            raise UserError(f"the folder {os.fsencode(name)!r} in {folder} has a name that cannot be shown; rename it")
    return names


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key to sort by in which numbers count as numbers: "a2" before "a10"."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(piece), "") if piece[0] in "0123456789" else (1, 0, piece.casefold()) for piece in pieces], name
