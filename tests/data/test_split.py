"""The validation split, against counts worked out by hand and scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedShuffleSplit

from convline.data.sources import digits
from convline.data.split import SplitConfig
from convline.errors import UserError
from support.data_modules import labels_of


def stratified_split(labels: torch.Tensor, fraction: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    parts = SplitConfig(val_fraction=fraction, split_seed=seed).apply(labels)
    return parts.train, parts.val


def num_val(labels: torch.Tensor, fraction: float, seed: int = 0) -> list[int]:
    _, val = stratified_split(labels, fraction, seed)
    return torch.bincount(labels[val], minlength=int(labels.max()) + 1).tolist()


@pytest.mark.parametrize("fraction", [0.1, 0.15, 0.5, 0.9])
@pytest.mark.parametrize("counts", [(100, 100), (37, 61, 23, 90), (20, 1000)])
def test_every_image_is_on_exactly_one_side_in_ascending_order(counts: tuple[int, ...], fraction: float) -> None:
    labels = labels_of(*counts)
    train, val = stratified_split(labels, fraction, 0)
    assert sorted(train.tolist() + val.tolist()) == list(range(sum(counts)))
    assert train.tolist() == sorted(train.tolist())
    assert val.tolist() == sorted(val.tolist())
    assert len(val) == round(fraction * sum(counts))


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ((10, 20, 30), 0.1, [1, 2, 3]),  # whole shares
        # shares 1.4, 2.8, 3.3, 0.5: floors 1, 2, 3, 0; round(8.0) = 8 leaves two, for the remainders .8 and .5
        ((14, 28, 33, 5), 0.1, [1, 3, 3, 1]),
        # shares 1.5, 1.5, 1.5: floors make 3; round(4.5) = 4 leaves one, for the first of equals
        ((15, 15, 15), 0.1, [2, 1, 1]),
        ((2, 2), 0.5, [1, 1]),
        # shares 28.999999999999996 in floating point; still 29
        ((100, 100), 0.29, [29, 29]),
    ],
)
def test_shares_follow_the_largest_remainder(counts: tuple[int, ...], fraction: float, expected: list[int]) -> None:
    assert num_val(labels_of(*counts), fraction) == expected


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.37])
def test_class_counts_are_within_one_of_scikit_learns(fraction: float) -> None:
    labels = digits("train").labels
    splitter = StratifiedShuffleSplit(1, test_size=round(fraction * len(labels)), random_state=0)
    _, theirs = next(splitter.split(np.zeros(len(labels)), labels.numpy()))
    difference = np.array(num_val(labels, fraction)) - np.bincount(labels.numpy()[theirs])
    assert abs(difference).max() <= 1
    assert difference.sum() == 0


def test_same_seed_same_split_other_seed_other_split() -> None:
    labels = labels_of(100, 100)
    splits = [stratified_split(labels, 0.2, seed)[1].tolist() for seed in (0, 0, 1, 2**32 - 1)]
    assert splits[0] == splits[1]
    assert len({tuple(split) for split in splits}) == 3


def test_split_depends_on_nothing_global() -> None:
    labels = labels_of(50, 50)
    np.random.seed(0)
    torch.manual_seed(0)
    first = stratified_split(labels, 0.2, 5)[1]
    np.random.seed(1)
    torch.manual_seed(1)
    assert torch.equal(first, stratified_split(labels, 0.2, 5)[1])


def test_every_image_of_a_class_is_as_likely_to_validate() -> None:
    labels = labels_of(10, 30)
    taken = np.zeros(40)
    for seed in range(400):
        taken[stratified_split(labels, 0.2, seed)[1].numpy()] += 1
    # each is taken 80 times of 400 on average, with a deviation of 8
    assert taken.min() > 80 - 5 * 8
    assert taken.max() < 80 + 5 * 8


@pytest.mark.parametrize(
    ("counts", "fraction", "which", "side"),
    [
        ((100, 2), 0.1, 1, "validation"),
        ((100, 2), 0.9, 1, "training"),
        ((3, 100), 0.01, 0, "validation"),
        ((1, 1), 0.5, 0, "training"),  # the first of equals goes to validation
    ],
)
def test_a_class_left_without_images_is_named_with_its_side(
    counts: tuple[int, ...], fraction: float, which: int, side: str
) -> None:
    with pytest.raises(UserError) as caught:
        stratified_split(labels_of(*counts), fraction, 0)
    assert f"data.val_fraction={fraction} leaves class {which} without {side} images" in str(caught.value)


def test_a_rare_class_is_named_with_what_helps() -> None:
    rare = torch.tensor([0] * 40 + [1] * 40 + [2] * 3)
    with pytest.raises(UserError, match="leaves class moth without validation images: it has 3 images") as caught:
        SplitConfig().apply(rare, ("ant", "bee", "moth"))
    advised = float(str(caught.value).partition("data.val_fraction=")[2].partition("data.val_fraction=")[2].split()[0])
    assert 2 in rare[SplitConfig(val_fraction=advised).apply(rare).val]
    single = torch.tensor([0] * 40 + [1])
    with pytest.raises(UserError, match=r"class moth .* it has 1 image beside .*\n  Give it more images"):
        SplitConfig().apply(single, ("ant", "moth"))
