"""What all sources share, and those that need no files: embedded digits and made-up images."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.datasets import load_digits

from convline.config import load_config
from convline.data.sources import Images, SplitName, digits, synthetic
from convline.data.sources.base import lay_channels_last, swap_sides
from convline.data.validate import check_type
from convline.errors import UserError

SPLITS: tuple[SplitName, ...] = ("train", "test")


# --- digits ---------------------------------------------------------------------------------------------------------


def as_pairs(pixels: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted((image.astype(np.uint8).tobytes(), int(label)) for image, label in zip(pixels, labels, strict=True))


def test_digits_test_on_every_fifth_image_of_each_class() -> None:
    train, test = digits("train"), digits("test")
    # of the 178, 182, 177, 183, 181, 182, 181, 179, 174, 180 images a class, whole fives
    assert torch.bincount(test.labels).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    assert (len(train), len(test)) == (1442, 355)
    assert train.images.shape == (1442, 1, 8, 8)
    assert (train.images.dtype, train.labels.dtype) == (torch.uint8, torch.int64)
    assert train.classes == tuple("0123456789")


def test_digits_train_and_test_are_together_exactly_scikit_learns() -> None:
    published = load_digits()
    # levels 0…16 spread over 0…255: 255 / 16 = 15.9375 a level, so that 8 becomes 127.5 and, rounded to even, 128
    levels = np.array([0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255])
    expected = as_pairs(levels[published.images.astype(int)], published.target)
    parts = [digits(split_name) for split_name in SPLITS]
    given = [
        pair
        for split_name in parts
        for pair in as_pairs(split_name.images.squeeze(1).numpy(), split_name.labels.numpy())
    ]
    assert sorted(given) == expected


def test_digits_keep_the_published_order_within_a_part() -> None:
    targets, seen, test_labels = load_digits().target, [0] * 10, []
    for label in targets:
        seen[label] += 1
        if seen[label] % 5 == 0:
            test_labels.append(label)
    assert digits("test").labels.tolist() == test_labels


# --- synthetic ------------------------------------------------------------------------------------------------------


def make_synthetic(split_name: SplitName, seed: int = 3, noise: float = 0.1, num_train: int = 50) -> Images:
    return synthetic(
        split_name, num_train=num_train, num_test=20, shape=(2, 4, 3), num_classes=4, noise=noise, seed=seed
    )


def test_synthetic_is_a_function_of_its_arguments_whatever_the_global_seed() -> None:
    torch.manual_seed(1)
    first = make_synthetic("train")
    torch.manual_seed(2)
    again = make_synthetic("train")
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert first.fingerprint() == again.fingerprint()


def test_synthetic_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    make_synthetic("train")
    assert torch.equal(before, torch.get_rng_state())


def test_synthetic_seeds_and_parts_differ() -> None:
    prints = {make_synthetic(split_name, seed, num_train=20).fingerprint() for split_name in SPLITS for seed in (3, 4)}
    assert len(prints) == 4


def test_synthetic_has_the_shape_and_classes_in_turn() -> None:
    train, test = make_synthetic("train"), make_synthetic("test")
    assert train.images.shape == (50, 2, 4, 3)
    assert test.images.shape == (20, 2, 4, 3)
    assert train.labels.tolist() == [i % 4 for i in range(50)]
    assert train.classes == ("class 0", "class 1", "class 2", "class 3")


def test_synthetic_without_noise_repeats_one_pattern_a_class_in_both_parts() -> None:
    train, test = make_synthetic("train", noise=0.0), make_synthetic("test", noise=0.0)
    for label in range(4):
        pattern = train.images[label]
        assert (train.images[train.labels == label] == pattern).all()
        assert (test.images[test.labels == label] == pattern).all()
    assert not torch.equal(train.images[0], train.images[1])


def test_synthetic_noise_has_the_stated_deviation() -> None:
    clean, noisy = (make_synthetic("train", noise=noise, num_train=5000) for noise in (0.0, 0.02))
    inner = (clean.images > 40) & (clean.images < 215)  # eight deviations away from being cut at 0 or 255
    difference = (noisy.images.double() - clean.images.double())[inner]
    # 0.02 × 255 = 5.1, and rounding adds the variance 1/12 once for each of the two images' roundings at most
    assert difference.std().item() == pytest.approx(5.1, rel=0.02)
    assert abs(difference.mean().item()) < 0.5


def test_fingerprint_sees_one_pixel_one_label_the_shape_and_the_classes() -> None:
    images, labels = torch.zeros(4, 1, 2, 3, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
    plain = Images(images, labels, ("a", "b"))
    pixel, label = images.clone(), labels.clone()
    pixel[3, 0, 1, 2], label[3] = 1, 0
    others = [
        Images(pixel, labels, ("a", "b")),
        Images(images, label, ("a", "b")),
        Images(images.view(4, 1, 3, 2), labels, ("a", "b")),
        Images(images, labels, ("a", "c")),
    ]
    assert len({plain.fingerprint(), *(other.fingerprint() for other in others)}) == 5


def test_a_known_fingerprint_is_believed_but_not_of_other_labels() -> None:
    images = Images(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]), ("a", "b"), known_fingerprint="x")
    assert images.fingerprint() == "x"
    assert replace(images, labels=torch.tensor([1, 0])).fingerprint() != "x"


@pytest.mark.parametrize("count", [1, 1023, 1024, 2500])
def test_swap_sides_is_the_transpose_in_place(count: int) -> None:
    images = torch.randint(0, 256, (count, 2, 5, 5), dtype=torch.uint8)
    expected, memory = images.transpose(2, 3).clone(), images.data_ptr()
    swap_sides(images)
    assert torch.equal(images, expected)
    assert images.data_ptr() == memory


@pytest.mark.parametrize("count", [1, 1024, 2500])
def test_lay_channels_last_moves_the_images_within_their_memory(count: int) -> None:
    images = torch.randint(0, 256, (count, 3, 4, 5), dtype=torch.uint8)
    expected, memory = images.clone(), images.data_ptr()
    moved = lay_channels_last(images)
    assert torch.equal(moved, expected)
    assert moved.is_contiguous(memory_format=torch.channels_last)
    assert moved.data_ptr() == memory


def test_images_lie_channels_last_however_they_come() -> None:
    planes = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    images = Images(planes, torch.arange(5), tuple("abcde"))
    assert torch.equal(images.images, planes)
    assert images.images.is_contiguous(memory_format=torch.channels_last)
    assert Images(images.images, images.labels, images.classes).images.data_ptr() == images.images.data_ptr()


# --- every config ---------------------------------------------------------------------------------------------------

# of `Images.fingerprint`: a change of one pixel, label or class name of a shipped data set shows here
GOLDEN = {
    ("digits", "train"): "63a5b61560219ffc",
    ("digits", "test"): "b873afbf973832e4",
    ("synthetic", "train"): "c558d6d2c9e3703b",
    ("synthetic", "test"): "1f3091c775536d83",
    ("mnist", "train"): "c3920e7c3b11a4ac",
    ("mnist", "test"): "fb0c3d1ffab44003",
    ("cifar10", "train"): "392df70d529c9c51",
    ("cifar10", "test"): "794d9928a6eccb6c",
}
REAL = ("mnist", "cifar10")


@pytest.mark.parametrize(
    ("option", "split_name"),
    [pytest.param(*key, marks=[pytest.mark.realdata] if key[0] in REAL else []) for key in GOLDEN],
)
def test_the_data_of_a_config_are_what_they_were(option: str, split_name: SplitName, data_root: Path) -> None:
    cfg = load_config([f"data={option}"])
    source = instantiate(OmegaConf.to_container(cfg.data.source, resolve=True), _convert_="all")
    images: Images = source(data_root, split_name) if option in REAL else source(split_name)
    assert images.fingerprint() == GOLDEN[option, split_name]
    assert list(images.images.shape[1:]) == list(cfg.data.input_shape)
    assert len(images.classes) == cfg.data.num_classes


def test_mirroring_shows_another_digit() -> None:
    assert not digits("test").flip_invariant
    assert make_synthetic("test").flip_invariant


def test_sources_import_nothing_heavy_but_torch() -> None:
    heavy = ("torchvision", "PIL", "scipy", "sklearn", "pandas")
    code = f"import sys, convline.data.sources; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


GRAY = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize(
    ("images", "labels", "texts"),
    [
        (GRAY.float(), LABELS, ("torch.float32 from 0 to 0", "(images * 255).round().to(torch.uint8)")),
        (GRAY.float() - 1, LABELS, ("from -1 to -1", "as they are in the files")),
        (GRAY.int(), LABELS, ("torch.int32", "uint8")),
        (GRAY[:, 0], LABELS, ("3 dimensions (4×2×2)", "images.unsqueeze(1)")),
        (GRAY.numpy(), LABELS, ("ndarray", "torch.from_numpy")),
        (GRAY, LABELS + 1, ("from 1 to 2", "numbered from 0 to 1")),
        (GRAY, LABELS - 1, ("from -1 to 0", "numbered from 0 to 1")),
        (GRAY, LABELS.float(), ("torch.float32", "labels.long()")),
        (GRAY, LABELS.tolist(), ("labels as list", "torch.tensor(labels)")),
        (GRAY, LABELS[:3], ("4 images, but 3 labels",)),
    ],
)
def test_images_and_labels_of_another_form_are_refused(images: Any, labels: Any, texts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        Images(images, labels, ("a", "b"))
    assert all(text in str(caught.value) for text in texts), str(caught.value)


def test_labels_of_any_integer_type_are_taken() -> None:
    assert Images(GRAY, LABELS.to(torch.uint8), ("a", "b")).labels.dtype == torch.int64


def test_a_source_that_gives_something_else_is_told_what_to_give() -> None:
    from torch.utils.data import TensorDataset

    with pytest.raises(UserError, match=r"gives TensorDataset(.|\n)*Name the Dataset's class itself"):
        check_type(TensorDataset(GRAY, LABELS))
    with pytest.raises(UserError, match=r"gives tuple(.|\n)*Return convline.data.sources.Images"):
        check_type((GRAY, LABELS))
