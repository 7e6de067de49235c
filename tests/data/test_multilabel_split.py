"""Splits of multi-label images: exact sizes, each label in proportion, and what is refused."""

import pytest
import torch

from convline.data.augment.mixing import soft_targets
from convline.data.split import SplitConfig
from convline.errors import UserError


def labels_of(num_images: int = 400) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    frequencies = torch.tensor([0.5, 0.2, 0.1, 0.05, 0.02])
    return (torch.rand(num_images, 5, generator=generator) < frequencies).float()


def test_a_label_is_in_both_splits_in_proportion() -> None:
    labels = labels_of()
    split = SplitConfig(val_fraction=0.25).apply(labels)
    assert (len(split.val), len(split.train)) == (100, 300)
    assert sorted([*split.val.tolist(), *split.train.tolist()]) == list(range(400))
    assert (labels[split.val].sum(0) - labels.sum(0) / 4).abs().max() <= 1
    assert torch.equal(split.train_labels, labels)


def test_a_hand_made_case() -> None:
    # the rare second label, on two images, goes to each half once; then the first label, on four; then the rest
    labels = torch.tensor([[1, 1], [1, 1], [1, 0], [1, 0], [0, 0], [0, 0]]).float()
    for seed in range(5):
        halves = SplitConfig(val_fraction=0.5, split_seed=seed).apply(labels)
        assert labels[halves.val].sum(0).tolist() == [2, 1]


def test_folds_are_disjoint_and_of_equal_size() -> None:
    labels = labels_of(402)
    folds = [SplitConfig(fold=fold, num_folds=4).apply(labels).val for fold in range(4)]
    assert sorted(torch.cat(folds).tolist()) == list(range(402))
    assert [len(fold) for fold in folds] == [101, 101, 100, 100]
    for fold in folds:
        assert (labels[fold].sum(0) - labels.sum(0) / 4).abs().max() <= 2


def test_smaller_subsets_are_inside_larger_ones() -> None:
    labels = labels_of()
    small, large = (SplitConfig(train_fraction=fraction).apply(labels) for fraction in (0.4, 0.7))
    assert (len(small.train), len(large.train)) == (144, 252)
    assert set(small.train.tolist()) <= set(large.train.tolist())
    assert torch.equal(small.val, large.val)


@pytest.mark.parametrize("settings", [{"per_class": 5}, {"imbalance": 10}, {"label_noise": 0.1}])
def test_what_counts_images_of_one_class_is_refused(settings: dict[str, float]) -> None:
    (key,) = settings
    with pytest.raises(UserError, match=f"data.{key}=.* is defined for images with one label each"):
        SplitConfig(**settings).apply(labels_of())  # type: ignore[arg-type]


def test_a_label_without_a_training_image() -> None:
    labels = torch.zeros(10, 2)
    labels[:, 0] = 1
    labels[0, 1] = 1
    with pytest.raises(UserError, match="leaves class 1 without training images"):
        SplitConfig(val="first", val_fraction=0.5).apply(labels)


def test_mixed_images_have_the_labels_of_both() -> None:
    labels = torch.tensor([[1.0, 1, 0], [0, 1, 1]])
    assert soft_targets(labels, torch.tensor([0.75, 1.0]), 3).tolist() == [[0.75, 1, 0.25], [0, 1, 1]]
