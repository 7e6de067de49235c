"""The fingerprint names the data: it sees every change of them, and nothing of how they are served."""

import sys

import pytest

from convline.data.datamodule import DataModule
from convline.data.sources import Images, SplitName, digits
from support.commands import shell
from support.data_modules import make_data


def altered(image: int = 0, pixel: int = 0, label: int | None = None, split_name: SplitName = "train") -> DataModule:
    """The usual data with one pixel of one image raised, and perhaps its label another."""
    changed = split_name
    plain = make_data()

    def source(split_name: SplitName) -> Images:
        images = plain._source(split_name)
        if split_name != changed:
            return images
        images.images[image].view(-1)[pixel] += 1
        if label is not None:
            images.labels[image] = label
        return images

    return make_data(source=source)


def test_fingerprint_is_of_the_data_and_not_of_how_they_are_served() -> None:
    prints = {
        make_data(**overrides).fingerprint()
        for overrides in (
            {},
            {"batch_size": 1},
            {"eval_batch_size": 1},
            {"seed": 9},
            {"steps_per_execution": 4},
            {"channels_last": False},
            {"limit_train_batches": 1},
        )
    }
    assert len(prints) == 1
    assert len(prints.pop()) == 16


def test_fingerprint_sees_every_change_of_pixels_labels_or_split() -> None:
    prints = [
        make_data().fingerprint(),
        make_data(source_seed=1).fingerprint(),
        make_data(num_train=63).fingerprint(),
        make_data(split_seed=1).fingerprint(),
        make_data(val_fraction=0.25).fingerprint(),
        altered(pixel=0).fingerprint(),
        altered(pixel=8).fingerprint(),
        altered(image=59, pixel=8).fingerprint(),
        altered(pixel=0, label=2).fingerprint(),
        altered(pixel=0, split_name="test").fingerprint(),
    ]
    assert len(set(prints)) == len(prints)


def test_a_split_that_follows_the_seed_differs_in_its_images_and_not_in_its_fingerprint() -> None:
    data = [make_data(split_seed=None, seed=seed) for seed in (0, 1)]
    assert data[0].fingerprint() == data[1].fingerprint()
    assert data[0].train_indices.tolist() != data[1].train_indices.tolist()
    fixed = make_data(split_seed=1, seed=0)
    fixed.read()
    assert data[1].train_indices.tolist() == fixed.train_indices.tolist()
    others = [make_data(split_seed=None, val_fraction=0.25), make_data(split_seed=None, source_seed=1), fixed]
    assert len({module.fingerprint() for module in [data[0], *others]}) == 4


@pytest.mark.slow
def test_fingerprint_is_the_same_in_another_process() -> None:
    code = (
        "from convline.data.datamodule import DataModule; from convline.data.sources import digits; "
        "print(DataModule(digits, [1, 8, 8], 10, 32, 512).fingerprint())"
    )
    done = shell(sys.executable, "-c", code, PYTHONHASHSEED="1")
    assert done.status == 0, done.err
    assert done.out.strip() == DataModule(digits, [1, 8, 8], 10, 32, 512).fingerprint()
