"""Folders of small gray images of cats and dogs."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convline.data.sources import Images, SplitName, folder

SPLITS: tuple[SplitName, ...] = ("train", "test")


def write(path: Path, level: int, size: tuple[int, int] = (6, 6)) -> None:
    """A gray PNG of one level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, level, dtype=np.uint8)).save(path)


def pets(root: Path, count: int = 10) -> Path:
    """Levels 0, 1, … are cats, 100, 101, … dogs, of mixed sizes."""
    for i in range(count):
        write(root / "cats" / f"{i}.png", i, (5 + i, 6))
        write(root / "dogs" / f"{i}.png", 100 + i, (6, 5 + i))
    return root


def read(root: Path, split_name: SplitName, **changed: Any) -> Images:
    settings = {"shape": (1, 4, 4), "resize": "crop", "test_fraction": 0.2, "test_seed": 0, "broken": "refuse"}
    return folder(root, split_name, **{**settings, **changed})  # type: ignore[arg-type]


def levels(images: Images) -> list[int]:
    """Each image's level, which tells the image."""
    assert (images.images.flatten(1) == images.images[:, 0, 0, :1]).all()
    return images.images[:, 0, 0, 0].tolist()
