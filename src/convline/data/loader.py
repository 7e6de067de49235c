"""Iterate over shuffled batches from a position that can be saved, and gather them from images on the device.

Notable choices:
- The order is a pure function of (seed, epoch), and the position is a number: to save both is to save the loader. The
  random parameters of the augmentation are such a function too, for each image.
- A loader yields *executions*: short iterators over the next few batches. The training step takes several optimizer
  steps in one call, so the framework's cost of a call is shared among them.
- Several ranks divide each batch, so that one optimizer step sees the same images on any number of ranks.
- Data that fit stay on the device, and a batch is one gather (`ResidentLoader`). torch's DataLoader would collate the
  images one by one on the host and copy each batch to the device; it serves data that do not fit (`streaming.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convline.data.preprocess import Preprocessor
from convline.machine import memory_limit

Batch = tuple[Tensor, Tensor]

MAX_MEMORY_SHARE = 0.5  # for the images; the rest is for network, gradients and activations


def count_batches(num_images: int, batch_size: int, limit: int | None = None) -> int:
    """Count the batches of an epoch; the last one may be smaller."""
    return min(-(-num_images // batch_size), limit or num_images)


@dataclass(frozen=True)
class LoaderConfig:
    """Configure a loader.

    Args:
        batch_size: images in a batch, over all ranks; the last batch of an epoch may be smaller.
        order_seed: shuffle by this seed and the epoch's number; None keeps the order.
        steps_per_execution: batches in each iterator that the loader yields.
        limit: maximum batches in an epoch; None for all.
        rank, world_size: index of this process, and number of processes that share each batch.
    """

    batch_size: int
    order_seed: int | None = None
    steps_per_execution: int = 1
    limit: int | None = None
    rank: int = 0
    world_size: int = 1


class Loader(ABC):
    """Iterate over preprocessed batches of images and their targets.

    Args:
        indices: indices of the images to load, on the device where they are gathered; int64.
        preprocessor: resizes, augments and normalizes a gathered batch, on the device of the network.
        config: batch size, order and rank.
        num_images: size of the whole set that `indices` point into.
    """

    def __init__(self, indices: Tensor, preprocessor: Preprocessor, config: LoaderConfig, num_images: int) -> None:
        self.indices, self.preprocessor, self.config = indices, preprocessor, config
        self.num_images = num_images
        self.num_batches = count_batches(len(indices), config.batch_size, config.limit)
        self.epoch = 0
        self.position = 0  # batches yielded in this epoch
        # Of this epoch. None also means that its random parameters are not sampled yet, nor its workers started.
        self._order: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Return the device of the batches."""
        return self.preprocessor.device

    def __len__(self) -> int:
        """Return the number of executions in an epoch."""
        return -(-self.num_batches // self.config.steps_per_execution)

    def __iter__(self) -> "Iterator[Execution]":
        """Yield the executions from the position to the end of the epoch, or of the next one if it is finished."""
        if self.position >= self.num_batches:
            self.epoch, self.position = self.epoch + 1, 0
            self._order = None
        while self.position < self.num_batches:
            yield Execution(self, min(self.config.steps_per_execution, self.num_batches - self.position))

    def next_batch(self) -> Batch:
        """Return the preprocessed batch at the position, and move on by one."""
        if self._order is None:
            self._order = self._epoch_order()
            self.preprocessor.start_epoch(self.epoch, self.num_images)
            self._start()
        batch = self.preprocessor(*self._gather(self.position))
        self.position += 1
        return batch

    @abstractmethod
    def _gather(self, position: int) -> tuple[Tensor, Tensor, Tensor]:
        """Gather uint8 images, labels and indices of the batch at this position of the epoch."""

    def _start(self) -> None:  # noqa: B027
        """Prepare for the batches from the position on; called before the first of them."""

    def batch_indices(self, position: int) -> Tensor:
        """Return the indices of this rank's share of the batch at this position of the epoch."""
        assert self._order is not None
        size, world_size = self.config.batch_size, self.config.world_size
        index = self._order[position * size : (position + 1) * size]
        # A last batch with fewer images than ranks goes to all of them: no rank may be without a batch.
        return index if len(index) < world_size else index.tensor_split(world_size)[self.config.rank]

    def batch_size(self, position: int) -> int:
        """Return the images of the batch at this position of the epoch, over all ranks."""
        return min(self.config.batch_size, len(self.indices) - position * self.config.batch_size)

    def share(self, position: int) -> float:
        """Return how many times the mean number of images a rank this rank's share of a batch holds.

        Data-parallel training averages the gradients of the ranks. With this factor on its loss, a rank's gradient
        counts by its images, and the average is the gradient of the whole batch.
        """
        num_images, world_size = self.batch_size(position), self.config.world_size
        if num_images < world_size:
            return 1.0
        whole, rest = divmod(num_images, world_size)
        return (whole + (self.config.rank < rest)) * world_size / num_images

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of batches yielded in it."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore a state: the next batch is the one that followed when `state_dict` was called."""
        self.epoch, self.position = state["epoch"], state["position"]
        self._order = None

    def _epoch_order(self) -> Tensor:
        if self.config.order_seed is None:
            return self.indices
        # NumPy's generator, since torch's takes only 32 bits of its seed, too few for all (seed, epoch) pairs. It runs
        # on the CPU, so the order is the same on every device.
        order = np.random.default_rng([self.config.order_seed, self.epoch]).permutation(len(self.indices))
        return self.indices[torch.from_numpy(order).to(self.indices.device)]


class Execution:
    """Iterate over the next `len` batches of a loader, gathered one by one when they are needed.

    Attributes:
        num_images: number of images in them, over all ranks.
        sizes: images of each batch, over all ranks.
        shares: this rank's share of each batch, from `Loader.share`.
    """

    def __init__(self, loader: Loader, num_batches: int) -> None:
        self._loader = loader
        self._num_batches = num_batches
        positions = range(loader.position, loader.position + num_batches)
        self.sizes = [loader.batch_size(position) for position in positions]
        self.shares = [loader.share(position) for position in positions]
        self.num_images = sum(self.sizes)

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self._num_batches):
            yield self._loader.next_batch()


class ResidentLoader(Loader):
    """Gather batches from images that are stored on the device.

    Args:
        images: uint8, N×C×H×W, channels-last, on the device of the network; never copied.
        labels: int64, N, on the same device.
        indices: indices of the images to load.
        preprocessor, config: see `Loader`.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, indices: Tensor, preprocessor: Preprocessor, config: LoaderConfig
    ) -> None:
        super().__init__(indices.to(images.device), preprocessor, config, len(labels))
        self.images, self.labels = images, labels
        self._images_NHWC = images.permute(0, 2, 3, 1)  # contiguous, so index_select copies each image as one row

    def _gather(self, position: int) -> tuple[Tensor, Tensor, Tensor]:
        index = self.batch_indices(position)
        return self._images_NHWC.index_select(0, index).permute(0, 3, 1, 2), self.labels.index_select(0, index), index


@dataclass(frozen=True)
class LoaderChoice:
    """Record which loader is chosen, and why.

    Args:
        name: "resident" or "dataloader".
        reason: the reason, a text for the user.
    """

    name: str
    reason: str


def choose_loader(kind: str, images: Tensor, device: torch.device) -> LoaderChoice:
    """Choose the loader for these images on a device.

    Args:
        kind: "resident", "dataloader", or "auto": resident if the images take at most half of the memory, that is the
            free memory of a GPU, or the memory that this process may use on the host.
        images: the official training set, on the host; may be memory-mapped.
        device: device of the network.
    """
    size = f"{images.nbytes / 2**20:,.1f} MiB of images"
    if kind == "auto":
        # torch reports the free memory of no other accelerator
        is_gpu = device.type == "cuda"
        memory = torch.cuda.mem_get_info(device)[0] if is_gpu else memory_limit()
        if images.nbytes > MAX_MEMORY_SHARE * memory:
            available = f"{memory / 2**20:,.0f} MiB {'free on the device' if is_gpu else 'of memory'}"
            return LoaderChoice(
                "dataloader", f"{size}, more than half of the {available}: workers bring them (data.loader=dataloader)"
            )
    if kind == "dataloader":
        return LoaderChoice("dataloader", f"{size}, brought by workers")
    return LoaderChoice("resident", f"{size}, resident on {device}")
