"""The LightningDataModule: reads a source, splits it, and makes resident loaders on the trainer's device."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule

from convline.data.resident import ResidentLoader, count_batches
from convline.data.sources import Images
from convline.data.split import stratified_split
from convline.data.statistics import channel_statistics
from convline.errors import UserError


class DataModule(LightningDataModule):
    """Training and validation images from the official training set; the official test set only when asked for.

    Args:
        source: reads an official split; called with `root` first if there is one.
        input_shape: channels, height and width that the network is built for.
        num_classes: classes that the network is built for.
        batch_size: images a training step on each device.
        eval_batch_size: images a forward pass in validation and test.
        val_fraction: of each class of the official training set, taken for validation.
        split_seed: of that choice.
        root: folder of the files, for a source that needs one.
        seed: of the order of the training images.
        steps_per_execution, channels_last: see `ResidentLoader`.
        limit_train_batches, limit_val_batches, limit_test_batches: batches at most, for debugging.
        overfit_batches: train and validate on these first batches alone, unshuffled; 0 is off.
    """

    def __init__(
        self,
        source: Callable[..., Images],
        input_shape: Sequence[int],
        num_classes: int,
        batch_size: int,
        eval_batch_size: int,
        val_fraction: float,
        split_seed: int,
        root: str | None = None,
        seed: int = 0,
        steps_per_execution: int = 1,
        channels_last: bool = True,
        limit_train_batches: int | None = None,
        limit_val_batches: int | None = None,
        limit_test_batches: int | None = None,
        overfit_batches: int = 0,
    ) -> None:
        super().__init__()
        self._source = source if root is None else lambda part: source(Path(root), part)
        self.input_shape, self.num_classes = tuple(input_shape), num_classes
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_fraction, self.split_seed, self.seed = val_fraction, split_seed, seed
        self.steps_per_execution, self.channels_last = steps_per_execution, channels_last
        self.limit_train_batches = limit_train_batches
        self.limit_val_batches, self.limit_test_batches = limit_val_batches, limit_test_batches
        self.overfit_batches = overfit_batches
        self._train_set: Images | None = None
        self._train_loader: ResidentLoader | None = None
        self._train_state: dict[str, int] | None = None

    def read(self) -> None:
        """Read, check and split the official training set, and compute its statistics; once.

        Raises:
            UserError: the files are missing or damaged, or do not fit the config.
        """
        if self._train_set is not None:
            return
        images = self._checked(self._source("train"))
        self.train_indices, self.val_indices = stratified_split(images.labels, self.val_fraction, self.split_seed)
        if self.batch_size > len(self.train_indices):
            raise UserError(
                f"data.batch_size={self.batch_size} is larger than the {len(self.train_indices):,} training images.\n"
                f"  Type a smaller one: data.batch_size={min(32, len(self.train_indices))}"
            )
        self._checked(self._source("test"))  # its files, before anything is trained; nothing is kept or looked at
        self.mean, self.std = channel_statistics(images.images, self.train_indices)
        self.classes = images.classes
        self._train_set = images

    def _checked(self, images: Images) -> Images:
        shape, classes = tuple(images.images.shape[1:]), len(images.classes)
        if not len(images):
            raise UserError("the training or the test set of these data holds no images")
        if shape != self.input_shape or classes != self.num_classes:
            raise UserError(
                f"the data are {_times(shape)} in {classes} classes, but the config says {_times(self.input_shape)} "
                f"in {self.num_classes}.\n"
                f"  Type: 'data.input_shape=[{','.join(map(str, shape))}]' data.num_classes={classes}"
            )
        return images

    def fingerprint(self) -> str:
        """A hash of the training set's pixels and labels and of the split: 16 hexadecimal digits."""
        self.read()
        assert self._train_set is not None
        digest = hashlib.blake2b(self._train_set.fingerprint().encode(), digest_size=8)
        digest.update(self.val_indices.numpy().data)
        return digest.hexdigest()

    def setup(self, stage: str) -> None:
        """Called by the trainer before it asks for loaders."""
        self.read()

    def train_dataloader(self) -> ResidentLoader:
        """Shuffled batches of the training split on the trainer's device, dealt out among its ranks."""
        order_seed = None if self.overfit_batches else self.seed
        self._train_loader = self._fit_loader(self.train_indices, self.batch_size, order_seed, self._train_limit)
        if self._train_state is not None:
            self._train_loader.load_state_dict(self._train_state)
        return self._train_loader

    def state_dict(self) -> dict[str, Any]:
        """Where the training loader is, for the checkpoint."""
        return self._train_loader.state_dict() if self._train_loader is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the training loader begin there. Lightning itself restores loaders only in the middle of an epoch."""
        self._train_state = state_dict or None

    def num_train_batches(self, world_size: int) -> int:
        """Batches that `train_dataloader` gives in an epoch to each of so many ranks."""
        return count_batches(len(self.train_indices), self.batch_size, world_size, self._train_limit)

    def last_train_batch(self, world_size: int) -> int:
        """Images that the smallest share of an epoch's last batch holds."""
        num_batches = count_batches(len(self.train_indices), self.batch_size, world_size)
        if self._train_limit and self._train_limit < num_batches:
            return self.batch_size
        rest = len(self.train_indices) - (num_batches - 1) * self.batch_size * world_size
        return min(self.batch_size, rest // world_size)

    @property
    def _train_limit(self) -> int | None:
        return self.overfit_batches or self.limit_train_batches

    def val_dataloader(self) -> ResidentLoader:
        """The validation split in order; with `overfit_batches`, the training batches instead."""
        if self.overfit_batches:
            return self._fit_loader(self.train_indices, self.batch_size, limit=self.overfit_batches)
        return self._fit_loader(self.val_indices, self.eval_batch_size, limit=self.limit_val_batches)

    def eval_loader(self, part: str, device: torch.device) -> ResidentLoader:
        """The images of one part ("val" or "test") in order, for evaluation outside the trainer."""
        if part == "val":
            images, labels = self._on_device(device, self.val_indices)
        else:
            test = self._checked(self._source("test"))
            images, labels = test.images.to(device), test.labels.to(device)
        limit = self.limit_val_batches if part == "val" else self.limit_test_batches
        return ResidentLoader(
            images, labels, self.mean, self.std, self.eval_batch_size, limit=limit, channels_last=self.channels_last
        )

    def _fit_loader(
        self, indices: torch.Tensor, batch_size: int, order_seed: int | None = None, limit: int | None = None
    ) -> ResidentLoader:
        assert self.trainer is not None
        images, labels = self._on_device(self.trainer.strategy.root_device, indices)
        return ResidentLoader(
            images,
            labels,
            self.mean,
            self.std,
            batch_size,
            order_seed,
            self.steps_per_execution,
            limit,
            self.trainer.global_rank,
            self.trainer.world_size,
            self.channels_last,
        )

    def _on_device(self, device: torch.device, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._train_set is not None
        images, labels = self._train_set.images, self._train_set.labels
        return images.index_select(0, indices).to(device), labels.index_select(0, indices).to(device)


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
