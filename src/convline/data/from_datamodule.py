"""Use the loaders of a LightningDataModule of the user's own as the data of a run, their batches as they are.

Notable choices:
- Everything random in an epoch of training is a function of (seed, epoch): its loader is started, and each batch is
  fetched, with a state of torch's, NumPy's and Python's generators of its own. A run that was interrupted within an
  epoch skips the batches that it has had, and goes on with the same ones. Dropout draws from other numbers.
- Validation and test use one fixed state, so that runs with different seeds are judged on the same images even if a
  transform is random.
- The images are not kept. Validation and test set are read once before training, to check and to hash them.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from convline.config.first_batch import RandomState, batch_of, class_names, loader_of, transferred
from convline.data.datamodule import DataModule
from convline.data.loader import Batch, Loader, LoaderChoice, LoaderConfig
from convline.data.sources import Images
from convline.data.streaming import keep_out_of_signals
from convline.errors import UserError
from convline.formatting import first_line, shape_text
from convline.storage import short_hash

EVAL_SEED = 0  # of the random numbers of validation and test


class FromDataModule(DataModule):
    """Load the batches of a LightningDataModule of the user's own.

    Args:
        module: after `prepare_data` and `setup("fit")`; its loaders give batches `(images, labels)`: floats N×C×H×W,
            and whole numbers N, or 0 and 1, N×classes.
        input_shape: channels, height and width of the images.
        num_classes: number of classes.
        seed: for everything random in its training loader.
        steps_per_execution, channels_last, limit_train_batches, limit_val_batches, limit_test_batches: see
            `DataModule`.
        augment, overfit_batches: refused, unless empty and 0.
    Raises:
        UserError: a setting needs the images, which the module transforms by itself.
    """

    def __init__(
        self,
        module: Any,
        input_shape: list[int],
        num_classes: int,
        seed: int = 0,
        steps_per_execution: int = 1,
        channels_last: bool = True,
        limit_train_batches: int | None = None,
        limit_val_batches: int | None = None,
        limit_test_batches: int | None = None,
        overfit_batches: int = 0,
        augment: Any = (),
    ) -> None:
        name = type(module).__name__
        if augment:
            raise UserError(f"data.augment has no effect on the images of {name}, which transforms them itself.")
        if overfit_batches:
            raise UserError(
                f"trainer.overfit_batches needs images in a fixed order, which {name} does not give.\n"
                "  Type: trainer.limit_train_batches=1"
            )
        super().__init__(
            _no_source,
            input_shape,
            num_classes,
            batch_size=1,  # those of the loaders are set by `read`
            eval_batch_size=1,
            seed=seed,
            steps_per_execution=steps_per_execution,
            channels_last=channels_last,
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
        )
        self.module = module
        self._has_read = self._is_set_up_for_test = False
        self._val_labels = torch.empty(0, dtype=torch.int64)
        self._split_hash = ""

    def read(self) -> None:
        """Check a first training batch, and read validation and test set once; later calls do nothing.

        Raises:
            UserError: a loader is missing, or its batches do not fit the config.
        """
        if self._has_read:
            return
        train = loader_of(self.module, "train")
        with RandomState(EVAL_SEED).active():
            images, targets = self._checked(transferred(next(iter(train)), self.module), "train")
        self.batch_size = len(images)
        low, high = images.amin(dim=(0, 2, 3)).double(), images.amax(dim=(0, 2, 3)).double()
        if low.min() >= 0 and high.max() <= 1:
            low, high = torch.zeros_like(low), torch.ones_like(high)
        # for figures: the darkest value becomes 0, the brightest 255
        self.std = 1 / torch.where(high > low, high - low, 1)
        self.mean = -low * self.std
        self.train_indices = torch.arange(self._num_images(train))
        val_hash, labels = self._hashed("val")
        self._val_labels = torch.cat(labels)
        self.val_indices = torch.arange(len(self._val_labels))
        self.train_labels = self._val_labels[:0]  # those of the training images are not known
        self.eval_batch_size = len(labels[0])
        self._test_fingerprint, _ = self._hashed("test")
        first = hashlib.sha256(images.contiguous().numpy().data).hexdigest()
        self._split_hash = short_hash(val_hash, f"{len(self.train_indices)} {len(train)} {first} {targets.tolist()}")
        names = class_names(self.module)
        self.classes = names if len(names) == self.num_classes else tuple(map(str, range(self.num_classes)))
        if self.is_multilabel:
            self.notices.append(
                "multi-label images: the accuracy is the mean over all labels, each predicted if its probability is "
                "above 0.5"
            )
        self._has_read = True

    def _num_images(self, loader: Any) -> int:
        try:
            num_images = len(loader.dataset)
        except (AttributeError, TypeError):
            return len(loader) * self.batch_size
        return min(num_images, len(loader) * self.batch_size)

    def _checked(self, batch: Any, split: str) -> Batch:
        """Return a batch as floats and targets on the host.

        Raises:
            UserError: it does not fit the config.
        """
        images, targets = batch_of(batch, split)
        images, targets = images.float(), targets.float() if targets.ndim == 2 else targets.long()
        if tuple(images.shape[1:]) != self.input_shape:
            raise UserError(
                f"a {split} batch has images of {shape_text(images.shape[1:])}, but the first training batch has "
                f"{shape_text(self.input_shape)}."
            )
        width = targets.shape[1] if targets.ndim == 2 else int(targets.max()) + 1
        if width > self.num_classes or (targets.ndim == 2 and width < self.num_classes) or targets.min() < 0:
            raise UserError(
                f"a {split} batch has labels of {width} classes, but the config says {self.num_classes}.\n"
                f"  Type: data.num_classes={width}; or let the module have an attribute num_classes"
            )
        return images, targets

    def _batches(self, split: str) -> Iterator[Batch]:
        """Yield all batches of the validation or the test set on the host."""
        if split == "test" and not self._is_set_up_for_test:
            self.module.setup("test")
            self._is_set_up_for_test = True
        state = RandomState(EVAL_SEED)
        with state.active():
            batches = iter(loader_of(self.module, split))
        while True:
            with state.active():
                batch = next(batches, None)
                if batch is None:
                    return
                batch = transferred(batch, self.module)
            yield self._checked(batch, split)

    def _hashed(self, split: str) -> tuple[str, list[Tensor]]:
        """Hash every number of a split, and return its labels by batch."""
        digest, labels = hashlib.blake2b(digest_size=8), []
        for images, targets in self._batches(split):
            digest.update(images.contiguous().numpy().data)
            digest.update(targets.contiguous().numpy().data)
            labels.append(targets)
        return digest.hexdigest(), labels

    def fingerprint(self) -> str:
        """Hash validation set, test set and a first training batch to 16 hexadecimal digits."""
        self.read()
        return short_hash(self._split_hash, self._test_fingerprint)

    def split_record(self) -> dict[str, Any]:
        """Return the number of images of both splits, and the hash of the validation set."""
        return {"train": len(self.train_indices), "val": len(self.val_indices), "fingerprint": self._split_hash}

    @property
    def is_multilabel(self) -> bool:
        """Return whether an image may have several labels, or none."""
        return self._val_labels.ndim == 2

    @property
    def val_labels(self) -> Tensor:
        """Return the labels of the validation split, in the order of evaluation."""
        return self._val_labels

    @property
    def flip_invariant(self) -> bool:
        """Return whether a mirrored image still shows its class; it is taken for granted."""
        return True

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Return channels, height and width of the images."""
        return self.input_shape

    def class_weights(self) -> Tensor:
        """Refuse: the labels of the training images are not known before they are loaded.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"classifier.class_weights=balanced needs the labels of all training images, which "
            f"{type(self.module).__name__} does not state.\n"
            "  Type: classifier.class_weights=none; its train_dataloader may have a WeightedRandomSampler instead"
        )

    def train_dataloader(self) -> Loader:
        """Load the batches of the module's training loader, in an order of (seed, epoch)."""
        config = LoaderConfig(self.batch_size, self.seed, self.steps_per_execution, self.limit_train_batches)
        self._train_loader = self.training_loader(self._device, config)
        if self._train_state is not None:
            self._train_loader.load_state_dict(self._train_state)
        return self._train_loader

    def training_loader(self, device: torch.device, config: LoaderConfig) -> Loader:
        """Load the module's training batches on any device; `config` says limit, seed and steps in an execution."""
        return self._foreign_loader("train", device, config)

    @property
    def num_train_batches(self) -> int:
        """Return the number of batches of an epoch."""
        num_batches = len(loader_of(self.module, "train"))
        return min(num_batches, self.limit_train_batches or num_batches)

    def smallest_share(self, world_size: int) -> int:
        """Count the images in an epoch's last batch."""
        num_batches = len(loader_of(self.module, "train"))
        if self.limit_train_batches and self.limit_train_batches < num_batches:
            return self.batch_size
        return len(self.train_indices) - (num_batches - 1) * self.batch_size

    def val_dataloader(self) -> Loader:
        """Load the module's validation batches."""
        config = LoaderConfig(self.eval_batch_size, None, self.steps_per_execution, self.limit_val_batches)
        return self._foreign_loader("val", self._device, config)

    def eval_loader(self, split: str, device: torch.device) -> Loader:
        """Load the batches of "val" or "test" for evaluation outside the trainer.

        Raises:
            UserError: the test set has changed since the data were read.
        """
        if split == "test" and self._hashed("test")[0] != self._test_fingerprint:
            raise UserError(
                "the test set has changed since the run began, so it is not evaluated: training images may be in it."
            )
        limit = self.limit_val_batches if split == "val" else self.limit_test_batches
        return self._foreign_loader(split, device, LoaderConfig(self.eval_batch_size, limit=limit))

    def _foreign_loader(self, split: str, device: torch.device, config: LoaderConfig) -> Loader:
        make, checked = partial(loader_of, self.module, split), partial(self._checked, split=split)
        transfer = partial(transferred, module=self.module)
        return ForeignLoader(make, transfer, checked, self._num_images(make()), device, config, self.channels_last)

    def loader_choice(self, device: torch.device) -> LoaderChoice:
        """Return that the module loads the images."""
        return LoaderChoice("datamodule", f"batches of {type(self.module).__name__}, as they are")

    def num_eval_images(self, split: str) -> int:
        """Count the images of a split ("val" or "test") that are evaluated."""
        limit = self.limit_val_batches if split == "val" else self.limit_test_batches
        num_images = (
            len(self.val_indices) if split == "val" else sum(len(labels) for _, labels in self._batches("test"))
        )
        return min(num_images, limit * self.eval_batch_size) if limit else num_images

    def eval_images(self, split: str, positions: Tensor) -> Batch:
        """Return images of a split and their labels, by their positions in the order of evaluation."""
        wanted, first = set(positions.tolist()), 0
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for images, labels in self._batches(split):
            for index in wanted & set(range(first, first + len(images))):
                found[index] = images[index - first], labels[index - first]
            first += len(images)
            if len(found) == len(wanted):
                break
        pairs = [found[index] for index in positions.tolist()]
        return torch.stack([image for image, _ in pairs]), torch.stack([label for _, label in pairs])

    def first_train_images(self, num_images: int) -> Tensor:
        """Return the first images of the first epoch, as the training gets them; the training's loader is untouched."""
        loader = self.training_loader(torch.device("cpu"), LoaderConfig(self.batch_size, self.seed))
        images: list[Tensor] = []
        while sum(map(len, images)) < num_images and loader.position < loader.num_batches:
            images.append(loader.next_batch()[0])
        return torch.cat(images)[:num_images]


class ForeignLoader(Loader):
    """Iterate over the batches of any loader of images and labels, from a position that can be saved.

    Args:
        make: returns the loader, which states its number of batches.
        transfer: calls the hooks of the data module on a batch.
        checked: checks a batch, and returns its images and targets on the host.
        num_images: images of an epoch.
        device: device of the batches.
        config: limit, steps in an execution, and the seed; without a seed every epoch is the same.
        channels_last: memory format of the images.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        transfer: Callable[[Any], Any],
        checked: Callable[[Any], Batch],
        num_images: int,
        device: torch.device,
        config: LoaderConfig,
        channels_last: bool,
    ) -> None:
        super().__init__(torch.arange(num_images), _AsTheyAre(device, channels_last), config, num_images)  # type: ignore[arg-type]
        self._make, self._transfer, self._checked = make, transfer, checked
        self._source = make()
        self.num_batches = min(len(self._source), config.limit or len(self._source))

    def _epoch_order(self) -> Tensor:
        return self.indices

    def _start(self) -> None:
        seeds = (EVAL_SEED,) if self.config.order_seed is None else (self.config.order_seed, self.epoch)
        self._random = RandomState(*seeds)
        if getattr(self._source, "persistent_workers", False):
            self._source = self._make()  # workers that live on would go on with their random numbers
        with self._random.active():
            _seed_generators(self._source, self.epoch)
            _protect_workers(self._source)
            self._batches = iter(self._source)
        for _ in range(self.position):
            self._next()

    def _next(self) -> Any:
        try:
            with self._random.active():
                return self._transfer(next(self._batches))
        except StopIteration as error:
            raise UserError(
                f"data.module: a loader states {len(self._source)} batches, but ended after fewer in epoch "
                f"{self.epoch + 1}."
            ) from error
        except UserError:
            raise
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise UserError(f"a worker of data.module has died: {first_line(error)}") from error

    def _gather(self, position: int) -> tuple[Tensor, Tensor, Tensor]:
        images, targets = self._checked(self._next())
        return images, targets, targets


class _AsTheyAre:
    """Move batches to the device, and change nothing else."""

    def __init__(self, device: torch.device, channels_last: bool) -> None:
        self.device = device
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def start_epoch(self, epoch: int, num_images: int) -> None:
        """Sample nothing."""

    def __call__(self, images: Tensor, targets: Tensor, index: Tensor) -> Batch:
        """Return the images and the targets on the device."""
        images = images.to(self.device, memory_format=self._memory_format, non_blocking=True)
        return images, targets.to(self.device, non_blocking=True)


def _seed_generators(loader: Any, epoch: int) -> None:
    """Seed the generators of a loader and its samplers from torch's global one, and tell samplers the epoch."""
    samplers = [getattr(loader, name, None) for name in ("sampler", "batch_sampler")]
    samplers += [getattr(sampler, "sampler", None) for sampler in samplers]
    seed = int(torch.randint(2**62, ()))
    for holder in [loader, *samplers]:
        if isinstance(generator := getattr(holder, "generator", None), torch.Generator):
            generator.manual_seed(seed)
        if callable(set_epoch := getattr(holder, "set_epoch", None)):
            set_epoch(epoch)


def _protect_workers(loader: Any) -> None:
    """Keep signals that are meant for the training from the workers of a DataLoader."""
    if isinstance(loader, DataLoader) and loader.num_workers and not isinstance(loader.worker_init_fn, _Protected):
        loader.worker_init_fn = _Protected(loader.worker_init_fn)


class _Protected:
    """Call `keep_out_of_signals`, and then the loader's own function, at the start of a worker."""

    def __init__(self, own: Callable[[int], None] | None) -> None:
        self._own = own

    def __call__(self, worker: int) -> None:
        keep_out_of_signals(worker)
        if self._own is not None:
            self._own(worker)


def _no_source(*_: Any) -> Images:
    raise AssertionError("the images of a data module are in its loaders")
