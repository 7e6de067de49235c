"""Datasets of torch and torchvision as sources."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.datasets import FakeData, FashionMNIST

from convline.data.sources.from_dataset import from_dataset
from convline.errors import UserError
from support.commands import assert_one_screen, run_dirs, train


class Squares(Dataset):
    """Items in several forms; the images of the splits differ."""

    classes = ("dark", "light")

    def __init__(self, train: bool, form: str = "uint8") -> None:
        self.train, self.form = train, form

    def __len__(self) -> int:
        return 6 if self.train else 4

    def __getitem__(self, index: int) -> tuple[Any, int]:
        pixels = np.full((3, 5), 10 * index + 100 * self.train, dtype=np.uint8)
        forms = {
            "uint8": torch.from_numpy(pixels),
            "array": pixels,
            "pil": Image.fromarray(pixels),
            "float": torch.from_numpy(pixels)[None] / 255,
            "color": Image.fromarray(np.stack([pixels] * 3, axis=2)),
            "palette": Image.fromarray(np.stack([pixels] * 3, axis=2)).convert("P", palette=Image.Palette.ADAPTIVE),
            "normalized": torch.from_numpy(pixels)[None] / 255 - 0.5,
            "growing": np.zeros((3 + index, 5), dtype=np.uint8),
        }
        return forms[self.form], index % 2


@pytest.mark.parametrize("form", ["uint8", "array", "pil", "float"])
def test_every_form_of_an_item_gives_the_same_pixels(form: str) -> None:
    make = partial(Squares, form=form)
    images = from_dataset("train", make=make)
    assert images.images.shape == (6, 1, 3, 5)
    assert images.images[:, 0, 0, 0].tolist() == [100, 110, 120, 130, 140, 150]
    assert images.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert images.classes == ("dark", "light")
    assert from_dataset("test", make=make).images[:, 0, 0, 0].tolist() == [0, 10, 20, 30]


def test_color_images_have_their_channels_first() -> None:
    assert from_dataset("train", make=partial(Squares, form="color")).images.shape == (6, 3, 3, 5)


def test_numbers_of_a_palette_are_taken_for_its_colors() -> None:
    color, palette = (from_dataset("train", make=partial(Squares, form=form)).images for form in ("color", "palette"))
    assert torch.equal(color, palette)


class Halves(Squares):
    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return super().__getitem__(index)[0], index % 2 + 0.5


def test_labels_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(UserError, match=r"labels such as 0\.5, but whole numbers are expected"):
        from_dataset("train", make=Halves)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(Squares, form="normalized"), "Leave normalization out"),
        (partial(Squares, form="growing"), r"several shapes, such as \(1, 3, 5\) and \(1, 4, 5\)"),
        (FakeData, "has no argument train or split"),
    ],
)
def test_what_cannot_be_read_is_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_dataset("train", make=make)


def test_arguments_of_torchvision_are_filled_in(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Dataset not found"):  # it looked below the root, and for no other reason
        from_dataset(tmp_path, "test", make=FashionMNIST)


OWN = """
import torch
from torch.utils.data import Dataset


class Bars(Dataset):
    classes = ("horizontal", "vertical")

    def __init__(self, split, size=8):
        generator = torch.Generator().manual_seed(len(split))
        self.images = torch.randint(60, (200, 1, size, size), generator=generator, dtype=torch.uint8)
        self.labels = torch.arange(200) % 2
        self.images[self.labels == 0, :, size // 2] = 255
        self.images[self.labels == 1, :, :, size // 2] = 255

    def __len__(self):
        return 200

    def __getitem__(self, index):
        return self.images[index], self.labels[index]
"""


def test_a_run_on_a_dataset_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "bars.py").write_text(OWN)
    words = ["data=digits", "data.source._target_=bars.Bars", "data.num_classes=2"]
    done = train(tmp_path, *words, "callbacks=plain", "trainer=cpu", "trainer.max_epochs=3")
    assert done.status == 0, done.err
    assert "test accuracy        100.00%" in done.out
    (run_dir,) = run_dirs(tmp_path)
    assert run_dir.name.endswith("_lenet_Bars")
    assert_one_screen(train(tmp_path, *words, "data.source.sizes=8"), "did you mean 'size'?")
