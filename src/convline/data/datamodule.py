"""Read a source, split it, and build loaders for the trainer's device (the LightningDataModule)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor

from convline.data.augment.language import parse_augment
from convline.data.augment.pipeline import Pipeline
from convline.data.loader import (
    Loader,
    LoaderChoice,
    LoaderConfig,
    ResidentLoader,
    choose_loader,
    count_batches,
)
from convline.data.preprocess import Preprocessor, channel_statistics
from convline.data.sources import Images, SplitName
from convline.data.split import Split, SplitConfig
from convline.data.streaming import StreamingLoader
from convline.data.validate import check_batch_size, check_images, check_same_shape, check_type
from convline.errors import UserError
from convline.storage import short_hash

_MIXED_ORDER = 2**32  # beside the seed, separates this order from the orders of the epochs


class DataModule(LightningDataModule):
    """Load batches of the training and validation splits of an official training set, and of the official test set.

    Args:
        source: reads an official split; called with `root` first if there is one.
        input_shape: channels, height and width for the network; images are resized, and gray ones repeated, to fit.
        num_classes: number of classes of the network.
        batch_size: images in a training step, over all ranks.
        eval_batch_size: images in a forward pass of validation and test, on each rank.
        root: folder of the files, for a source that needs one.
        normalize: "standard": subtract the training images' mean and divide by their standard deviation, by channel;
            "unit": pixels from 0 to 1.
        augment: operations on training images, as text or list; see `parse_augment`.
        loader: "resident", "dataloader", or "auto"; see `choose_loader`.
        num_workers: worker processes of the dataloader.
        seed: for the order of the training images and their augmentation.
        steps_per_execution: see `LoaderConfig`.
        channels_last: memory format of the batches.
        limit_train_batches, limit_val_batches, limit_test_batches: maximum batches, for debugging.
        overfit_batches: train and validate on these first batches alone, unshuffled; 0 is off.
        split_seed: seed of the choice of validation and training images; None: `seed`.
        split: other settings of `SplitConfig`.

    Attributes:
        notices: messages about the data, printed before training.
        train_indices, val_indices: indices of the splits into the official training set; int64.
        train_labels: labels of the whole official training set, including label noise; int64, or of multi-label images
            float32, N×classes.
        mean, std: mean and standard deviation by which each channel is normalized, for pixel values 0 to 1; float64.
        classes: names of the classes.
        pipeline: augmentation of the training images; None if there is none.

    The attributes from `train_indices` on have their values after `read()`.
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
        split_seed: int | None = 0,
        **split: Any,
    ) -> None:
        super().__init__()
        self._source = source if root is None else lambda split_name: source(Path(root).expanduser(), split_name)
        channels, height, width = input_shape
        self.input_shape, self.num_classes = (channels, height, width), num_classes
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self._normalize = normalize
        self._augmentations = parse_augment(augment)
        self._loader_kind, self._num_workers = loader, num_workers
        self._split_seed = split_seed
        self._split = SplitConfig(**split, split_seed=seed if split_seed is None else split_seed)
        self.seed = seed
        self.steps_per_execution, self.channels_last = steps_per_execution, channels_last
        self.limit_train_batches = limit_train_batches
        self.limit_val_batches, self.limit_test_batches = limit_val_batches, limit_test_batches
        self.overfit_batches = overfit_batches
        self.notices: list[str] = []
        # Empty until `read()`.
        self.train_indices = self.val_indices = self.train_labels = torch.empty(0, dtype=torch.int64)
        self.mean = self.std = torch.empty(0, dtype=torch.float64)
        self.classes: tuple[str, ...] = ()
        self.pipeline: Pipeline | None = None
        self._split_result: Split | None = None
        self._test_fingerprint = ""
        self._train_set: Images | None = None
        self._fingerprint: str | None = None
        self._on_device: tuple[torch.device, Tensor] | None = None
        self._loader_choices: dict[torch.device, LoaderChoice] = {}
        self._train_loader: Loader | None = None
        self._train_state: dict[str, int] | None = None

    def read(self) -> None:
        """Read, check and split the official training set, and compute its statistics; later calls do nothing.

        Raises:
            UserError: the files are missing or damaged, or do not fit the config.
        """
        if self._train_set is not None:
            return
        images = self._images("train")
        result = self._split_result = self._split.apply(images.labels, images.classes)
        self.train_indices, self.val_indices, self.train_labels = result.train, result.val, result.train_labels
        check_batch_size(self.batch_size, len(self.train_indices))
        # The test set's files are checked before anything is trained. Only a hash of them is kept.
        test = self._images("test")
        check_same_shape(images, test)
        self._test_fingerprint = test.fingerprint()
        del test
        mean, std = channel_statistics(images.images, self.train_indices)
        is_standard = self._normalize == "standard"
        self.mean = mean if is_standard else torch.zeros_like(std)
        self.std = std if is_standard else torch.ones_like(std)
        self.classes = images.classes
        self.notices.extend(images.notices)
        if images.is_multilabel:
            self.notices.append(
                "multi-label images: the accuracy is the mean over all labels, each predicted if its probability is "
                "above 0.5"
            )
        self._train_set = images
        self.pipeline = self._make_pipeline(images, mean)

    def _images(self, split_name: SplitName) -> Images:
        images = self._source(split_name)
        check_type(images)
        check_images(images, self.input_shape[0], self.num_classes)
        return images

    def _make_pipeline(self, images: Images, mean: Tensor) -> Pipeline | None:
        if not self._augmentations:
            return None
        mirroring = [step.name for step in self._augmentations if step.mirrors]
        if mirroring and not images.flip_invariant:
            self.notices.append(
                f"warning: data.augment has {', '.join(mirroring)}, but a mirrored image of these data shows another "
                "class or none; the network learns what it will never see"
            )
        fill = (mean * 255).float().expand(self.input_shape[0])
        return Pipeline(self._augmentations, self.input_shape, self.num_classes, fill, self.seed)

    def fingerprint(self) -> str:
        """Hash all pixels and labels of both official sets, and the split, to 16 hexadecimal digits.

        Of a split that follows the seed of the run, its settings count: runs with other seeds repeat one experiment.
        """
        self.read()
        assert self._train_set is not None
        if self._fingerprint is not None:
            return self._fingerprint
        follows_seed = self._split_seed is None
        split = repr(replace(self._split, split_seed=0)) if follows_seed else self.split_record()["fingerprint"]
        self._fingerprint = short_hash(self._train_set.fingerprint(), self._test_fingerprint, split)
        return self._fingerprint

    def split_record(self) -> dict[str, Any]:
        """Return the counts and the hash of the split; see `Split.record`."""
        assert self._split_result is not None
        return self._split_result.record()

    def mixed_train_indices(self) -> Tensor:
        """Return the training split in a fixed order with mixed classes: files may be sorted by class."""
        order = np.random.default_rng([self.seed, _MIXED_ORDER]).permutation(len(self.train_indices))
        return self.train_indices[torch.from_numpy(order)]

    @property
    def train_images(self) -> Tensor:
        """Return all images of the official training set, not normalized; uint8, N×C×H×W."""
        assert self._train_set is not None
        return self._train_set.images

    @property
    def is_multilabel(self) -> bool:
        """Return whether an image may have several labels, or none."""
        return self.train_labels.ndim == 2

    @property
    def val_labels(self) -> Tensor:
        """Return the labels of the validation split, in the order of evaluation."""
        return self.train_labels[self.val_indices]

    @property
    def flip_invariant(self) -> bool:
        """Return whether a mirrored image still shows its class."""
        assert self._train_set is not None
        return self._train_set.flip_invariant

    def class_weights(self) -> Tensor:
        """Return class weights that balance the classes, with mean 1 over the training images; float32."""
        if self.is_multilabel:
            raise UserError("class weights belong to images with one label each: type classifier.class_weights=none")
        counts = self.train_labels[self.train_indices].bincount(minlength=self.num_classes)
        return len(self.train_indices) / (self.num_classes * counts.clamp(min=1)).float()

    def setup(self, stage: str) -> None:
        """Read the data; the trainer calls this before it asks for loaders."""
        self.read()

    def train_dataloader(self) -> Loader:
        """Load shuffled batches of the training split on the trainer's device, divided among its ranks."""
        order_seed = None if self.overfit_batches else self.seed
        assert self.trainer is not None
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        config = LoaderConfig(
            self.batch_size, order_seed, self.steps_per_execution, self._train_limit, rank, world_size
        )
        if self.overfit_batches:
            indices = self.mixed_train_indices()
            self._train_loader = self._loader(self._device, indices, self.train_labels, config, self.pipeline)
        else:
            self._train_loader = self.training_loader(self._device, config)
        if self._train_state is not None:
            self._train_loader.load_state_dict(self._train_state)
        return self._train_loader

    def training_loader(self, device: torch.device, config: LoaderConfig) -> Loader:
        """Load the training split, augmented, on any device and in any batches."""
        return self._loader(device, self.train_indices, self.train_labels, config, self.pipeline)

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the training loader, for the checkpoint."""
        return self._train_loader.state_dict() if self._train_loader is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Store the position for the training loader: Lightning restores loaders only in the middle of an epoch."""
        self._train_state = state_dict or None

    @property
    def num_train_batches(self) -> int:
        """Return the number of batches that `train_dataloader` gives in an epoch, on any number of ranks."""
        return count_batches(len(self.train_indices), self.batch_size, self._train_limit)

    def smallest_share(self, world_size: int) -> int:
        """Count the images in the smallest share that one of several ranks has of a training batch."""
        last = len(self.train_indices) - (self.num_train_batches - 1) * self.batch_size
        sizes = (
            {self.batch_size, min(self.batch_size, last)}
            if self.num_train_batches > 1
            else {min(self.batch_size, last)}
        )
        return min(size // world_size or size for size in sizes)

    @property
    def _train_limit(self) -> int | None:
        return self.overfit_batches or self.limit_train_batches

    def validated_indices(self) -> Tensor:
        """Return the indices of the images that each epoch validates on."""
        if self.overfit_batches:
            return self.mixed_train_indices()[: self.batch_size * self.overfit_batches]
        limit = self.limit_val_batches
        return self.val_indices if limit is None else self.val_indices[: self.eval_batch_size * limit]

    def val_dataloader(self) -> Loader:
        """Load the validation split in order; with `overfit_batches`, the training batches instead.

        Each rank gets a part of the images, and every image is in one of the parts.
        """
        assert self.trainer is not None
        indices = self.validated_indices().tensor_split(self.trainer.world_size)[self.trainer.global_rank]
        batch_size = self.batch_size if self.overfit_batches else self.eval_batch_size
        config = LoaderConfig(batch_size, steps_per_execution=self.steps_per_execution)
        return self._loader(self._device, indices, self.train_labels, config)

    def eval_loader(self, split: str, device: torch.device) -> Loader:
        """Load the images of one split ("val" or "test") in order, for evaluation outside the trainer.

        Raises:
            UserError: the test set has changed since the data were read. With a folder of one's own images, training
                images might be in it.
        """
        limit = self.limit_val_batches if split == "val" else self.limit_test_batches
        config = LoaderConfig(self.eval_batch_size, limit=limit)
        if split == "val":
            return self._loader(device, self.val_indices, self.train_labels, config)
        images, labels, indices = self.stored(split)
        return self._loader(device, indices, labels, config, images=images)

    def stored(self, split: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return the images of the source, their labels, and the indices of a split ("val" or "test")."""
        if split == "val":
            return self.train_images, self.train_labels, self.val_indices
        test = self._images("test")
        if test.fingerprint() != self._test_fingerprint:
            raise UserError(
                "the test set has changed since the run began, so it is not evaluated: training images may be in it.\n"
                "  Put the files back as they were and resume the run, or start a new one."
            )
        return test.images, test.labels, torch.arange(len(test))

    def eval_images(self, split: str, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return images of a split, normalized, and their labels, by their positions in the order of evaluation."""
        stored, labels, indices = self.stored(split)
        index = indices[positions]
        cpu = torch.device("cpu")
        preprocessor = Preprocessor(self.mean, self.std, self.input_shape, cpu, self.channels_last)
        return preprocessor(stored[index], labels[index], index)

    def num_eval_images(self, split: str) -> int:
        """Count the images of a split ("val" or "test") that are evaluated."""
        limit = self.limit_val_batches if split == "val" else self.limit_test_batches
        num_images = len(self.stored(split)[2])
        return min(num_images, limit * self.eval_batch_size) if limit else num_images

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Return channels, height and width of the source's images, before any resizing."""
        return tuple(self.train_images.shape[1:])

    @property
    def _device(self) -> torch.device:
        assert self.trainer is not None
        return self.trainer.strategy.root_device

    def _loader(
        self,
        device: torch.device,
        indices: Tensor,
        labels: Tensor,
        config: LoaderConfig,
        pipeline: Pipeline | None = None,
        images: Tensor | None = None,
    ) -> Loader:
        """Build a loader of these images; of the official training set if `images` is None."""
        preprocessor = Preprocessor(self.mean, self.std, self.input_shape, device, self.channels_last, pipeline)
        host = self.train_images if images is None else images
        if self.loader_choice(device).name == "dataloader":
            return StreamingLoader(host, labels, indices, preprocessor, config, self._num_workers)
        resident = host.to(device) if images is not None else self._resident(device)
        return ResidentLoader(resident, labels.to(device), indices, preprocessor, config)

    def loader_choice(self, device: torch.device) -> LoaderChoice:
        """Return the loader that is chosen for training on a device, and the reason."""
        if device not in self._loader_choices:  # chosen once: later the images themselves take the memory
            self._loader_choices[device] = choose_loader(self._loader_kind, self.train_images, device)
        return self._loader_choices[device]

    def _resident(self, device: torch.device) -> Tensor:
        """Return the training set on the device: one copy, which all loaders share."""
        if self._on_device is None or self._on_device[0] != device:
            self._on_device = device, self.train_images.to(device)
        return self._on_device[1]


def datamodule_of(trainer: Trainer) -> DataModule:
    """Return the data module that a trainer is attached to.

    Raises:
        UserError: it is no `DataModule` of Convline.
    """
    data = getattr(trainer, "datamodule", None)  # Lightning sets it at run time, and declares no type for it
    if not isinstance(data, DataModule):
        raise UserError("this callback needs convline.data.DataModule, which knows the images and the classes.")
    return data
