"""Split the official training set into training and validation images, and set the training labels.

Notable choices:
- The order in which a class's images are taken is a random permutation that depends on the seed and the class alone. A
  smaller subset is therefore inside a larger one, whatever happens to the other classes.
- Subsets, imbalance and label noise come after the validation split and change the training images alone.
- Multi-label images, whose labels are N×classes, are stratified by the iterative algorithm of Sechidis et al. Settings
  that count the images of one class are refused: an image has several.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convline.errors import UserError
from convline.formatting import plural
from convline.storage import short_hash

# Beside the user's seed, these separate the random numbers of each purpose from the others and from those of an epoch.
_SUBSET, _NOISE, _FOLDS = 2**32 + 1, 2**32 + 2, 2**32 + 3


@dataclass(frozen=True)
class Split:
    """Hold the result of a split.

    Args:
        train, val: indices into the official training set, ascending; int64.
        train_labels: labels of the whole official training set, including label noise; int64, or of multi-label images
            float32, N×classes.
    """

    train: Tensor
    val: Tensor
    train_labels: Tensor

    def record(self) -> dict[str, Any]:
        """Count the images of both splits, and hash their indices and the training labels."""
        fingerprint = short_hash(*(values.numpy().data for values in (self.train, self.val, self.train_labels)))
        return {"train": len(self.train), "val": len(self.val), "fingerprint": fingerprint}


@dataclass(frozen=True)
class SplitConfig:
    """Configure a split of the official training set into training and validation images; `apply` computes it.

    Args:
        val: "stratified", or "first" for the first images in the order of the files.
        val_fraction: share of the images for validation.
        val_size: number of validation images instead.
        fold: index of the stratified fold, of `num_folds`, that validates; None for no cross-validation.
        num_folds: number of folds of cross-validation.
        train_fraction: share of the other images to train on, stratified.
        per_class: number of training images of each class instead.
        label_noise: share of the training labels that are replaced, each by another class, uniformly.
        imbalance: images of the first class for one of the last, falling exponentially in between (Cui et al., "Class-
            balanced loss", 2019), with as many images as that leaves.
        split_seed: seed of all choices.
    """

    val: str = "stratified"
    val_fraction: float = 0.1
    val_size: int | None = None
    fold: int | None = None
    num_folds: int = 5
    train_fraction: float | None = None
    per_class: int | None = None
    label_noise: float = 0.0
    imbalance: float = 1.0
    split_seed: int = 0

    def apply(self, labels: Tensor, classes: Sequence[str] = ()) -> Split:
        """Split a set with these labels.

        Args:
            labels: int64, N; or of multi-label images N×classes.
            classes: names of the classes, for messages; without them, messages have their numbers.
        Raises:
            UserError: settings contradict each other, or leave a class without training or validation images.
        """
        self._check(len(labels))
        if labels.ndim == 2:
            self._check_multilabel()
        names = classes or range(labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1)
        train, val = self._validation(labels, names)
        train = self._subset(labels, train, names)
        return Split(train, val, self._noisy(labels, train))

    def _check(self, num_images: int) -> None:
        if self.fold is not None and self.fold >= self.num_folds:
            raise UserError(
                f"data.fold={self.fold} is out of range: with data.num_folds={self.num_folds} it is from 0 to "
                f"{self.num_folds - 1}."
            )
        if self.fold is not None and (self.val_size is not None or self.val == "first"):
            other = "data.val=first" if self.val == "first" else f"data.val_size={self.val_size}"
            raise UserError(f"data.fold={self.fold} says which images validate, and so does {other}: take one out.")
        if self.train_fraction is not None and self.per_class is not None:
            raise UserError(
                f"data.train_fraction={self.train_fraction} and data.per_class={self.per_class} both say how many "
                "images train: take one out."
            )
        if self.val_size is not None and self.val_size >= num_images:
            raise UserError(
                f"data.val_size={self.val_size:,} leaves nothing to train on: the official training set has "
                f"{num_images:,} images."
            )

    def _check_multilabel(self) -> None:
        for key, without in (("per_class", None), ("imbalance", 1), ("label_noise", 0)):
            if getattr(self, key) != without:
                raise UserError(
                    f"data.{key}={getattr(self, key)} is defined for images with one label each, but these have "
                    f"several.\n  Type: data.{key}={'null' if without is None else without}; data.train_fraction=0.1 "
                    "trains on fewer"
                )

    def _validation(self, labels: Tensor, names: Sequence[Any]) -> tuple[Tensor, Tensor]:
        settings = f"data.val_size={self.val_size}" if self.val_size else f"data.val_fraction={self.val_fraction}"
        if self.fold is not None:
            settings = f"data.num_folds={self.num_folds}"
            chosen = _fold(labels, self.fold, self.num_folds, self.split_seed)
        else:
            size = round(self.val_fraction * len(labels)) if self.val_size is None else self.val_size
            if self.val == "first":
                chosen = torch.arange(len(labels)) < size
            else:
                chosen = _stratified(labels, size, self.split_seed)
        indices = torch.arange(len(labels))
        train, val = indices[~chosen], indices[chosen]
        _check_training(labels, train, names, settings)
        if self.val == "first":
            settings = f"data.val=first with {settings}"  # files may well be sorted by class
        if labels.ndim == 2:  # a rare label may be in training images alone
            return train, val
        if (missing := _missing_class(labels, val)) is not None:
            raise UserError(
                f"{settings} leaves class {names[missing]} without validation images{self._remedy(labels, missing)}"
            )
        return train, val

    def _remedy(self, labels: Tensor, missing: int) -> str:
        """Say what gives a class validation images; no fraction does if it has a single image."""
        count = int((labels == missing).sum())
        if count < 2:
            return (
                f": it has {plural(count, 'image')} beside those of the test set, but training and validation need one "
                "each.\n  Give it more images, or take the class out"
            )
        if self.fold is not None or self.val == "first":
            return "; choose another value."
        indices = torch.arange(len(labels))
        for fraction in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            chosen = _stratified(labels, round(fraction * len(labels)), self.split_seed)
            if all(_missing_class(labels, indices[mask]) is None for mask in (chosen, ~chosen)):
                return f": it has {plural(count, 'image')}.\n  Type: data.val_fraction={fraction} data.val_size=null"
        return f": it has {plural(count, 'image')}, and no fraction gives every class some.\n  Give it more images"

    def _subset(self, labels: Tensor, train: Tensor, names: Sequence[Any]) -> Tensor:
        """Return a subset: of each class the first images in its random order."""
        # `orders` holds each class's training images in its random order. Each setting below cuts these lists at the
        # end, so a smaller setting gives a subset of what a larger one gives.
        if self.train_fraction is None and self.per_class is None and self.imbalance == 1:
            return train
        if labels.ndim == 2:
            order = np.random.default_rng([self.split_seed, _SUBSET]).permutation(len(labels))
            ranks = np.argsort(order)[train.numpy()]
            size = round((self.train_fraction or 1) * len(train))
            kept = train[torch.from_numpy(np.sort(np.argsort(ranks)[:size]))]
            _check_training(labels, kept, names, f"data.train_fraction={self.train_fraction}")
            return kept
        orders = dict(_class_orders(labels, train, self.split_seed))
        if self.per_class is not None:
            for label, members in orders.items():
                if len(members) < self.per_class:
                    raise UserError(
                        f"data.per_class={self.per_class} is more than the {len(members):,} training images of class "
                        f"{names[label]}."
                    )
            orders = {label: members[: self.per_class] for label, members in orders.items()}
        elif self.train_fraction is not None:
            # Stratified with an exact total: image i of n in its class has quantile (i + 0.5) / n, and the images with
            # the smallest quantiles over all classes are taken. To round each class by itself would miss the total.
            quantiles = np.concatenate([(np.arange(len(m)) + 0.5) / len(m) for m in orders.values()])
            is_kept = np.zeros(len(quantiles), dtype=bool)
            is_kept[np.argsort(quantiles, kind="stable")[: round(self.train_fraction * len(train))]] = True
            ends = np.cumsum([len(m) for m in orders.values()])[:-1]
            orders = {label: m[k] for (label, m), k in zip(orders.items(), np.split(is_kept, ends), strict=True)}
        if self.imbalance > 1:
            # Class k of K gets a share of imbalance^(-k / (K - 1)): 1 for the first class, 1 / imbalance for the last.
            # `largest` is the most images of the first class for which no class needs more than it has.
            shares = self.imbalance ** (-np.arange(len(orders)) / max(len(orders) - 1, 1))
            largest = min(len(members) / share for members, share in zip(orders.values(), shares, strict=True))
            orders = {label: m[: round(largest * s)] for (label, m), s in zip(orders.items(), shares, strict=True)}
        settings = ", ".join(
            f"data.{key}={value}"
            for key, value in (("train_fraction", self.train_fraction), ("imbalance", self.imbalance))
            if value not in (None, 1)
        )
        kept_indices = torch.from_numpy(np.sort(np.concatenate(list(orders.values()))))
        _check_training(labels, kept_indices, names, settings)
        return kept_indices

    def _noisy(self, labels: Tensor, train: Tensor) -> Tensor:
        if not self.label_noise:
            return labels
        classes = np.unique(labels.numpy())
        if len(classes) < 2:
            raise UserError(f"data.label_noise={self.label_noise} needs at least two classes.")
        rng = np.random.default_rng([self.split_seed, _NOISE])
        # Sampled for all images, so that a larger share only adds incorrect labels. A step of 1 to K - 1 classes,
        # modulo K, is a uniform choice among the other classes.
        ranks, steps = rng.random(len(labels)), rng.integers(1, len(classes), len(labels))
        members = train.numpy()
        changed = members[np.argsort(ranks[members], kind="stable")[: round(self.label_noise * len(members))]]
        noisy = labels.numpy().copy()
        positions = np.searchsorted(classes, noisy[changed])
        noisy[changed] = classes[(positions + steps[changed]) % len(classes)]
        return torch.from_numpy(noisy)


def _stratified(labels: Tensor, size: int, seed: int) -> Tensor:
    """Return a mask of `size` images, each class in proportion by largest remainder."""
    if labels.ndim == 2:
        return torch.from_numpy(_iterative_stratification(labels.numpy() > 0, [size, len(labels) - size], seed) == 0)
    rng = np.random.default_rng(seed)
    values = labels.numpy()
    classes, counts = np.unique(values, return_counts=True)
    shares = counts * (size / len(values))
    chosen_counts = np.floor(shares).astype(int)
    missing = size - int(chosen_counts.sum())
    chosen_counts[np.argsort(chosen_counts - shares, kind="stable")[:missing]] += 1
    chosen = np.zeros(len(values), dtype=bool)
    for label, count in zip(classes, chosen_counts, strict=True):
        chosen[rng.permutation(np.flatnonzero(values == label))[:count]] = True
    return torch.from_numpy(chosen)


def _fold(labels: Tensor, fold: int, num_folds: int, seed: int) -> Tensor:
    """Return a mask of one stratified fold; the sizes of folds differ by one at most."""
    if labels.ndim == 2:
        sizes = [(len(labels) + num_folds - 1 - index) // num_folds for index in range(num_folds)]
        return torch.from_numpy(_iterative_stratification(labels.numpy() > 0, sizes, seed) == fold)
    # ordered by class: taking every num_folds-th image gives each fold an equal number of each class, up to one
    by_class = np.concatenate([m for _, m in _class_orders(labels, torch.arange(len(labels)), seed, _FOLDS)])
    chosen = np.zeros(len(by_class), dtype=bool)
    chosen[by_class[fold::num_folds]] = True
    return torch.from_numpy(chosen)


def _iterative_stratification(labels: np.ndarray, sizes: Sequence[int], seed: int) -> np.ndarray:
    """Divide multi-label images into subsets of exact sizes, each label in proportion, the rarest label first.

    Args:
        labels: bool, N×classes.
        sizes: number of images of each subset; they sum to N.
        seed: seed of the order in which images are taken.
    Returns:
        The index of each image's subset; int64, N.

    Source: Sechidis, Tsoumakas & Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011, algorithm 1;
    a subset that is full takes no more.
    """
    room = np.array(sizes, dtype=np.float64)
    wanted = np.outer(room / len(labels), labels.sum(axis=0))  # images of each label that each subset still needs
    subset = np.full(len(labels), -1)
    remaining = np.random.default_rng(seed).permutation(len(labels))

    def place(image: int, preference: np.ndarray) -> None:
        # of equally suitable subsets the one with more room; a full one never
        chosen = max(np.flatnonzero(room > 0), key=lambda index: (round(float(preference[index]), 9), room[index]))
        subset[image] = chosen
        room[chosen] -= 1
        wanted[chosen, labels[image]] -= 1

    while len(remaining):
        counts = labels[remaining].sum(axis=0)
        if not counts.any():
            break
        rarest = int(np.where(counts > 0, counts, len(labels) + 1).argmin())
        for image in remaining[labels[remaining, rarest]]:
            place(image, wanted[:, rarest])
        remaining = remaining[~labels[remaining, rarest]]
    for image in remaining:  # without any label
        place(image, room)
    return subset


def _class_orders(labels: Tensor, among: Tensor, seed: int, purpose: int = _SUBSET) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each class with its images that are in `among`, in a random order of all images of the class."""
    values, allowed = labels.numpy(), np.zeros(len(labels), dtype=bool)
    allowed[among.numpy()] = True
    for label in np.unique(values):
        order = np.random.default_rng([seed, purpose, int(label)]).permutation(np.flatnonzero(values == label))
        yield int(label), order[allowed[order]]


def _check_training(labels: Tensor, indices: Tensor, names: Sequence[Any], settings: str) -> None:
    """Check that every class that has images has one among the training images.

    Raises:
        UserError: names the settings and the first class without.
    """
    if (missing := _missing_class(labels, indices)) is not None:
        raise UserError(f"{settings} leaves class {names[missing]} without training images; choose another value.")


def _missing_class(labels: Tensor, indices: Tensor) -> int | None:
    """Return the first class that has images, but none among the indices; None if there is no such class."""
    if labels.ndim == 2:
        missing = np.flatnonzero(labels.any(dim=0).numpy() & ~labels[indices].any(dim=0).numpy())
    else:
        missing = np.setdiff1d(labels.numpy(), labels[indices].numpy())
    return int(missing[0]) if len(missing) else None
