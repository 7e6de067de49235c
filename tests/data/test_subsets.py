"""Folds, subsets, long tails and wrong labels: against counts worked out by hand, and what must hold of any of them."""

import sys

import numpy as np
import pytest
import torch

from convline.data.sources import digits
from convline.data.split import SplitConfig
from convline.errors import UserError
from support.commands import shell
from support.data_modules import labels_of

LABELS = labels_of(40, 60, 100)


def counts(labels: torch.Tensor, indices: torch.Tensor) -> list[int]:
    return torch.bincount(labels[indices], minlength=int(labels.max()) + 1).tolist()


# --- which images validate --------------------------------------------------------------------------------------------


def test_a_number_of_validation_images_is_shared_out_as_the_fraction_is() -> None:
    parts = SplitConfig(val_size=20).apply(LABELS)
    assert counts(LABELS, parts.val) == [4, 6, 10]
    assert torch.equal(parts.val, SplitConfig(val_fraction=0.1).apply(LABELS).val)


@pytest.mark.parametrize("settings", [{"val_size": 30}, {"val_fraction": 0.15}])
def test_the_tutorials_form_takes_the_first_images(settings: dict) -> None:
    parts = SplitConfig(val="first", **settings).apply(LABELS)
    assert parts.val.tolist() == list(range(30))
    assert parts.train.tolist() == list(range(30, 200))


@pytest.mark.parametrize("num_folds", [2, 3, 5])
def test_folds_are_disjoint_complete_and_stratified(num_folds: int) -> None:
    labels = labels_of(41, 60, 99)
    folds = [SplitConfig(fold=fold, num_folds=num_folds).apply(labels) for fold in range(num_folds)]
    assert sorted(torch.cat([parts.val for parts in folds]).tolist()) == list(range(200))
    for parts in folds:
        assert sorted(parts.train.tolist() + parts.val.tolist()) == list(range(200))
        assert abs(len(parts.val) - 200 / num_folds) < 1
        for count, whole in zip(counts(labels, parts.val), (41, 60, 99), strict=True):
            assert abs(count - whole / num_folds) < 1


def test_folds_depend_on_the_splits_seed_alone() -> None:
    folds = [SplitConfig(fold=1, split_seed=seed).apply(LABELS).val.tolist() for seed in (0, 0, 1)]
    assert folds[0] == folds[1] != folds[2]


# --- fewer training images --------------------------------------------------------------------------------------------


def test_a_fraction_is_exact_and_in_proportion() -> None:
    train = SplitConfig(train_fraction=0.25).apply(LABELS).train  # of the 36, 54 and 90 that do not validate
    assert len(train) == 45
    assert all(abs(count - share) < 1 for count, share in zip(counts(LABELS, train), (9, 13.5, 22.5), strict=True))


def test_smaller_parts_are_inside_larger_ones() -> None:
    previous: set[int] = set()
    for fraction in (0.03, 0.1, 0.2, 0.5, 0.77, 1.0):
        train = set(SplitConfig(train_fraction=fraction).apply(LABELS).train.tolist())
        assert previous < train
        previous = train
    assert previous == set(SplitConfig().apply(LABELS).train.tolist())
    previous = set()
    for per_class in (1, 2, 10, 36):
        train = SplitConfig(per_class=per_class).apply(LABELS).train
        assert counts(LABELS, train) == [per_class] * 3
        assert previous < set(train.tolist())
        previous = set(train.tolist())


def test_validation_is_the_same_whatever_part_is_trained_on() -> None:
    whole = SplitConfig().apply(LABELS)
    for settings in ({"train_fraction": 0.3}, {"per_class": 3}, {"imbalance": 10.0}, {"label_noise": 0.5}):
        parts = SplitConfig(**settings).apply(LABELS)  # type: ignore[arg-type]
        assert torch.equal(parts.val, whole.val)
        assert torch.equal(parts.train_labels[parts.val], LABELS[whole.val])
        assert set(parts.train.tolist()) <= set(whole.train.tolist())
        assert parts.train.tolist() == sorted(parts.train.tolist())


def test_a_long_tail_falls_exponentially() -> None:
    labels = labels_of(112, 112, 112)  # 101, 101, 101 train; 101 * 100^(-1/2) is 10.1
    train = SplitConfig(imbalance=100, val_size=33).apply(labels).train
    assert counts(labels, train) == [101, 10, 1]


def test_a_long_tail_has_its_ratio_whatever_the_classes_had() -> None:
    # of 36, 54 and 90: the first class is the scarce one; 36, 36 / sqrt(2) and 18
    assert counts(LABELS, SplitConfig(imbalance=2).apply(LABELS).train) == [36, 25, 18]
    few_last = labels_of(100, 60, 40)  # of 90, 54 and 36: 36 * 2, 36 * sqrt(2), 36
    assert counts(few_last, SplitConfig(imbalance=2).apply(few_last).train) == [72, 51, 36]


# --- wrong labels -----------------------------------------------------------------------------------------------------


def test_wrong_labels_are_as_many_as_asked_for_and_all_wrong() -> None:
    parts = SplitConfig(label_noise=0.4).apply(LABELS)
    changed = (parts.train_labels != LABELS).nonzero().flatten()
    assert len(changed) == round(0.4 * 180)
    assert set(changed.tolist()) <= set(parts.train.tolist())
    assert set(parts.train_labels.tolist()) == {0, 1, 2}


def test_wrong_labels_go_to_each_other_class_alike() -> None:
    labels = labels_of(3000, 30, 30)
    noisy = SplitConfig(label_noise=0.5).apply(labels).train_labels
    wrong = noisy[(noisy != labels) & (labels == 0)]
    ones, twos = int((wrong == 1).sum()), int((wrong == 2).sum())
    assert abs(ones - twos) < 5 * len(wrong) ** 0.5


def test_more_noise_only_adds_wrong_labels() -> None:
    some, more = (SplitConfig(label_noise=rate).apply(LABELS).train_labels for rate in (0.1, 0.3))
    wrong = some != LABELS
    assert torch.equal(more[wrong], some[wrong])


# --- reproducible -----------------------------------------------------------------------------------------------------


def test_the_same_split_in_another_process() -> None:
    settings = "val_size=100, train_fraction=0.5, label_noise=0.2, imbalance=5.0, split_seed=3"
    code = (
        "from convline.data.sources import digits; from convline.data.split import SplitConfig; "
        f"p = SplitConfig({settings}).apply(digits('train').labels); "
        "print(p.train.tolist(), p.val.tolist(), p.train_labels.tolist())"
    )
    here = SplitConfig(val_size=100, train_fraction=0.5, label_noise=0.2, imbalance=5.0, split_seed=3).apply(
        digits("train").labels
    )
    done = shell(sys.executable, "-c", code, PYTHONHASHSEED="7")
    assert done.out.strip() == f"{here.train.tolist()} {here.val.tolist()} {here.train_labels.tolist()}"


def test_the_split_depends_on_nothing_global() -> None:
    settings = SplitConfig(train_fraction=0.5, label_noise=0.2, fold=1)
    np.random.seed(0)
    first = settings.apply(LABELS)
    np.random.seed(1)
    state = torch.get_rng_state()
    again = settings.apply(LABELS)
    assert torch.equal(first.train, again.train)
    assert torch.equal(first.train_labels, again.train_labels)
    assert torch.equal(torch.get_rng_state(), state)


# --- what cannot be done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"fold": 5}, "data.fold=5 is out of range: with data.num_folds=5 it is from 0 to 4"),
        ({"fold": 1, "val_size": 10}, "data.fold=1 says which images validate, and so does data.val_size=10"),
        ({"fold": 1, "val": "first"}, "and so does data.val=first"),
        ({"fold": 0, "num_folds": 150}, "data.num_folds=150 leaves class 1 without validation images"),
        ({"train_fraction": 0.5, "per_class": 3}, "both say how many images train"),
        ({"val_size": 200}, "data.val_size=200 leaves nothing to train on: the official training set has 200 images"),
        ({"val_size": 2}, "data.val_size=2 leaves class 0 without validation images"),
        ({"train_fraction": 0.005}, "data.train_fraction=0.005 leaves class"),
        ({"per_class": 37}, "data.per_class=37 is more than the 36 training images of class 0"),
        ({"val": "first", "val_size": 2}, "data.val=first with data.val_size=2 leaves class"),
        ({"imbalance": 1000.0}, "data.imbalance=1000.0 leaves class 2 without training images"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        SplitConfig(**settings).apply(LABELS)
    assert complaint in str(caught.value)


def test_first_images_that_hold_all_of_a_class_are_refused() -> None:
    labels = torch.tensor([1] + [0] * 5 + [1] * 20)
    with pytest.raises(UserError, match=r"data\.val_size=6 leaves class 0 without training images"):
        SplitConfig(val="first", val_size=6).apply(labels)
