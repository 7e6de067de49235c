"""The LightningDataModule: reads a source, splits it, and makes loaders for the trainer's device."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from convline.data.augment.pipeline import Pipeline, parse_augment
from convline.data.backend import Backend, choose
from convline.data.channel_statistics import channel_statistics
from convline.data.loader import Loader, Walk, count_batches
from convline.data.preprocess import Prepare
from convline.data.resident import ResidentLoader
from convline.data.sources import Images, Part
from convline.data.split import Split
from convline.data.streaming import StreamingLoader
from convline.data.validate import check_batch_size, check_same_shape, checked
from convline.errors import UserError
from convline.storage import short_hash

MIXED = 2**32  # beside the seed, keeps this order apart from those of the epochs


class DataModule(LightningDataModule):
    """Training and validation images from the official training set; the official test set only when asked for.

    Args:
        source: reads an official split; called with `root` first if there is one.
        input_shape: channels, height and width for the network; images are resized and grey ones repeated to fit.
        num_classes: classes that the network is built for.
        batch_size: images a training step on each device.
        eval_batch_size: images a forward pass in validation and test.
        root: folder of the files, for a source that needs one.
        normalize: "standard": less the training images' mean and divided by their standard deviation, by channel;
            "unit": pixels from 0 to 1.
        augment: operations on training images, as text or list; see `parse_augment`.
        loader: "resident", "dataloader", or "auto" for what fits.
        num_workers: processes of the latter.
        seed: of the order of the training images, and of their augmentation.
        steps_per_execution: see `Walk`.
        channels_last: memory format of the batches.
        limit_train_batches, limit_val_batches, limit_test_batches: batches at most, for debugging.
        overfit_batches: train and validate on these first batches alone, unshuffled; 0 is off.
        split: settings of `Split`.

    Attributes:
        notices: what a user should know of these data before they are trained on.
        pipeline: of the augmentation; None if there is none.
    """

    def __init__(
        self,
        source: Callable[..., Images],
        input_shape: Sequence[int],
        num_classes: int,
        batch_size: int,
        eval_batch_size: int,
        root: str | None = None,
        normalize: str = "standard",
        augment: str | Sequence[str] = (),
        loader: str = "auto",
        num_workers: int = 0,
        seed: int = 0,
        steps_per_execution: int = 1,
        channels_last: bool = True,
        limit_train_batches: int | None = None,
        limit_val_batches: int | None = None,
        limit_test_batches: int | None = None,
        overfit_batches: int = 0,
        **split: Any,
    ) -> None:
        super().__init__()
        self._source = source if root is None else lambda part: source(Path(root).expanduser(), part)
        channels, height, width = input_shape
        self.input_shape, self.num_classes = (channels, height, width), num_classes
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self._normalize = normalize
        self._augmentations = parse_augment(augment)
        self._loader_kind, self._num_workers = loader, num_workers
        self._split = Split(**split)
        self.seed = seed
        self.steps_per_execution, self.channels_last = steps_per_execution, channels_last
        self.limit_train_batches = limit_train_batches
        self.limit_val_batches, self.limit_test_batches = limit_val_batches, limit_test_batches
        self.overfit_batches = overfit_batches
        self.notices: list[str] = []
        self._train_set: Images | None = None
        self._fingerprint: str | None = None
        self._on_device: tuple[torch.device, Tensor] | None = None
        self._backends: dict[torch.device, Backend] = {}
        self._train_loader: Loader | None = None
        self._train_state: dict[str, int] | None = None

    def read(self) -> None:
        """Read, check and split the official training set, and compute its statistics; once.

        Raises:
            UserError: the files are missing or damaged, or do not fit the config.
        """
        if self._train_set is not None:
            return
        images = self._images("train")
        self._parts = parts = self._split.parts(images.labels)
        self.train_indices, self.val_indices, self.train_labels = parts.train, parts.val, parts.train_labels
        check_batch_size(self.batch_size, len(self.train_indices))
        # the test set's files are checked before anything is trained; nothing of them is kept or looked at
        test = self._images("test")
        check_same_shape(images, test)
        self._test_fingerprint = test.fingerprint()
        del test
        self._mean_color, std = channel_statistics(images.images, self.train_indices)
        standard = self._normalize == "standard"
        self.mean = self._mean_color if standard else torch.zeros_like(std)
        self.std = std if standard else torch.ones_like(std)
        self.classes = images.classes
        self.notices.extend(images.notices)
        self._train_set = images
        self.pipeline = self._make_pipeline(images)

    def _images(self, part: Part) -> Images:
        return checked(self._source(part), self.input_shape[0], self.num_classes)

    def _make_pipeline(self, images: Images) -> Pipeline | None:
        if not self._augmentations:
            return None
        mirroring = [step.name for step in self._augmentations if step.mirrors]
        if mirroring and not images.mirrored_alike:
            self.notices.append(
                f"warning: data.augment has {', '.join(mirroring)}, but a mirrored image of these data shows another "
                "class or none; the network learns what it will never see"
            )
        fill = (self._mean_color * 255).float().expand(self.input_shape[0])
        return Pipeline(self._augmentations, self.input_shape, self.num_classes, fill, self.seed)

    def fingerprint(self) -> str:
        """A hash of all pixels and labels, the test set's too, and of the split: 16 hexadecimal digits."""
        self.read()
        assert self._train_set is not None
        if self._fingerprint is not None:
            return self._fingerprint
        self._fingerprint = short_hash(
            self._train_set.fingerprint(), self._test_fingerprint, self.split_record()["fingerprint"]
        )
        return self._fingerprint

    def split_record(self) -> dict[str, Any]:
        """See `Parts.record`."""
        return self._parts.record()

    def mixed_train_indices(self) -> Tensor:
        """The training split in a fixed order with its classes mixed: files may well be sorted by them."""
        order = np.random.default_rng([self.seed, MIXED]).permutation(len(self.train_indices))
        return self.train_indices[torch.from_numpy(order)]

    @property
    def train_images(self) -> Tensor:
        """The whole official training set as stored; uint8, N×C×H×W."""
        assert self._train_set is not None
        return self._train_set.images

    @property
    def mirrored_alike(self) -> bool:
        """Whether a mirrored image still shows its class."""
        assert self._train_set is not None
        return self._train_set.mirrored_alike

    def class_weights(self) -> Tensor:
        """Weights that make all classes count alike in training: mean 1 over the training images; float32, classes."""
        counts = self.train_labels[self.train_indices].bincount(minlength=self.num_classes)
        return len(self.train_indices) / (self.num_classes * counts.clamp(min=1)).float()

    def setup(self, stage: str) -> None:
        """Called by the trainer before it asks for loaders."""
        self.read()

    def train_dataloader(self) -> Loader:
        """Shuffled batches of the training split on the trainer's device, dealt out among its ranks."""
        order_seed = None if self.overfit_batches else self.seed
        walk = self._fit_walk(self.batch_size, self._train_limit, order_seed)
        if self.overfit_batches:
            indices = self.mixed_train_indices()
            self._train_loader = self._loader(self._device, indices, self.train_labels, walk, self.pipeline)
        else:
            self._train_loader = self.training_loader(self._device, walk)
        if self._train_state is not None:
            self._train_loader.load_state_dict(self._train_state)
        return self._train_loader

    def training_loader(self, device: torch.device, walk: Walk) -> Loader:
        """The training split, augmented, on any device and in any batches."""
        return self._loader(device, self.train_indices, self.train_labels, walk, self.pipeline)

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

    def val_dataloader(self) -> Loader:
        """The validation split in order; with `overfit_batches`, the training batches instead."""
        if self.overfit_batches:
            walk = self._fit_walk(self.batch_size, self.overfit_batches)
            return self._loader(self._device, self.mixed_train_indices(), self.train_labels, walk)
        walk = self._fit_walk(self.eval_batch_size, self.limit_val_batches)
        return self._loader(self._device, self.val_indices, self.train_labels, walk)

    def eval_loader(self, part: str, device: torch.device) -> Loader:
        """The images of one part ("val" or "test") in order, for evaluation outside the trainer.

        Raises:
            UserError: the test set is no longer the one that was there when the data were read. With a folder of one's
                own images, training images might be among it.
        """
        limit = self.limit_val_batches if part == "val" else self.limit_test_batches
        walk = Walk(self.eval_batch_size, limit=limit)
        if part == "val":
            return self._loader(device, self.val_indices, self.train_labels, walk)
        images, labels, indices = self.stored(part)
        return self._loader(device, indices, labels, walk, images=images)

    def stored(self, part: str) -> tuple[Tensor, Tensor, Tensor]:
        """A set of images as its source gives them, their labels, and which of them make a part ("val" or "test")."""
        if part == "val":
            return self.train_images, self.train_labels, self.val_indices
        test = self._images("test")
        if test.fingerprint() != self._test_fingerprint:
            raise UserError(
                "the test set has changed since the run began, so it is not evaluated: training images may be in it.\n"
                "  Put the files back as they were and resume the run, or start a new one."
            )
        return test.images, test.labels, torch.arange(len(test))

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Channels, height and width of the images as the source gives them."""
        return tuple(self.train_images.shape[1:])

    @property
    def _device(self) -> torch.device:
        assert self.trainer is not None
        return self.trainer.strategy.root_device

    def _fit_walk(self, batch_size: int, limit: int | None, order_seed: int | None = None) -> Walk:
        assert self.trainer is not None
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        return Walk(batch_size, order_seed, self.steps_per_execution, limit, rank, world_size)

    def _loader(
        self,
        device: torch.device,
        indices: Tensor,
        labels: Tensor,
        walk: Walk,
        pipeline: Pipeline | None = None,
        images: Tensor | None = None,
    ) -> Loader:
        """A loader over these images, the official training set if none are given."""
        prepare = Prepare(self.mean, self.std, self.input_shape, device, self.channels_last, pipeline)
        host = self.train_images if images is None else images
        if self.backend(device).name == "dataloader":
            return StreamingLoader(host, labels, indices, prepare, walk, self._num_workers)
        there = host.to(device) if images is not None else self._resident(device)
        return ResidentLoader(there, labels.to(device), indices, prepare, walk)

    def backend(self, device: torch.device) -> Backend:
        """Where the images of these data lie while they are trained on that device, and why."""
        if device not in self._backends:  # chosen once: afterwards the images themselves take the memory
            self._backends[device] = choose(self._loader_kind, self.train_images, device)
        return self._backends[device]

    def _resident(self, device: torch.device) -> Tensor:
        """The training set on the device: one copy, which all loaders share."""
        if self._on_device is None or self._on_device[0] != device:
            self._on_device = device, self.train_images.to(device)
        return self._on_device[1]
