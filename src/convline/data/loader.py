"""What both loaders have in common: the order of the images, the place in it, and executions.

Notable choices:
- Order is a pure function of (seed, epoch), and the position a number: saving them is saving the loader. So are the
  random draws of the augmentation, for each image.
- It hands out *executions*: short iterators over the next few batches. The training step takes several optimizer steps
  in one call, so that the framework's cost per call is shared among them.
- With several ranks each global batch is dealt out among them: every image is seen once an epoch, but for a rest of
  fewer images than ranks at its end.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convline.data.preprocess import Prepare

Batch = tuple[Tensor, Tensor]


def count_batches(num_images: int, batch_size: int, world_size: int = 1, limit: int | None = None) -> int:
    """Batches an epoch on each rank; the last one may be smaller."""
    whole, rest = divmod(num_images, batch_size * world_size)
    # a rest that does not reach every rank would leave one without a batch while the others wait for it
    return min(whole + (rest >= world_size), limit or num_images)


@dataclass(frozen=True)
class Walk:
    """How a loader walks through its images.

    Args:
        batch_size: images a batch on each rank; the last batch of an epoch may be smaller.
        order_seed: shuffle by this seed and the epoch's number; None keeps the order.
        steps_per_execution: batches in each iterator that iterating over the loader yields.
        limit: batches an epoch at most; None for all.
        rank, world_size: this process among those that share each epoch.
    """

    batch_size: int
    order_seed: int | None = None
    steps_per_execution: int = 1
    limit: int | None = None
    rank: int = 0
    world_size: int = 1


class Loader(ABC):
    """Batches of images, prepared for the network, and their targets.

    Args:
        indices: of the images to go through, on the device where the backend gathers; int64.
        prepare: what is done with a gathered batch, on the device where the batches are wanted.
        walk: in which batches and in which order.
        num_images: in the whole set that `indices` point into.
    """

    def __init__(self, indices: Tensor, prepare: Prepare, walk: Walk, num_images: int) -> None:
        self.indices, self.prepare, self.walk = indices, prepare, walk
        self.num_images = num_images
        self.num_batches = count_batches(len(indices), walk.batch_size, walk.world_size, walk.limit)
        self.epoch = 0
        self.position = 0  # batches handed out in this epoch
        self._order: Tensor | None = None  # of this epoch; with it the draws are there too

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self.prepare.device

    def __len__(self) -> int:
        """Executions an epoch."""
        return -(-self.num_batches // self.walk.steps_per_execution)

    def __iter__(self) -> "Iterator[Execution]":
        """Go on from the position: to the end of a half-done epoch, or through the next one."""
        if self.position >= self.num_batches:
            self.epoch, self.position = self.epoch + 1, 0
            self._order = None
        while self.position < self.num_batches:
            yield Execution(self, min(self.walk.steps_per_execution, self.num_batches - self.position))

    def next_batch(self) -> Batch:
        """The batch at the position, prepared; moves on by one."""
        if self._order is None:
            self._order = self._epoch_order()
            self.prepare.start_epoch(self.epoch, self.num_images)
            self._start()
        batch = self.prepare(*self._gather(self.position))
        self.position += 1
        return batch

    @abstractmethod
    def _gather(self, position: int) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 images, labels and indices of the batch at this position of the epoch."""

    def _start(self) -> None:  # noqa: B027
        """Called before the first batch of an epoch, or of the rest of one."""

    def batch_indices(self, position: int) -> Tensor:
        """Which images make this rank's share of the batch at this position of the epoch."""
        assert self._order is not None
        size = self.walk.batch_size * self.walk.world_size
        index = self._order[position * size : (position + 1) * size]
        return index if self.walk.world_size == 1 else index.tensor_split(self.walk.world_size)[self.walk.rank]

    def state_dict(self) -> dict[str, int]:
        """Where the loader is: the epoch and the batches handed out in it."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go back to where `state_dict` was taken; the next batch is the one that came next then."""
        self.epoch, self.position = state["epoch"], state["position"]
        self._order = None

    def _epoch_order(self) -> Tensor:
        if self.walk.order_seed is None:
            return self.indices
        # By NumPy: torch's generator takes 32 bits of its seed, too few to keep (seed, epoch) pairs apart; and drawn on
        # the processor, the order is the same whatever the device.
        order = np.random.default_rng([self.walk.order_seed, self.epoch]).permutation(len(self.indices))
        return self.indices[torch.from_numpy(order).to(self.indices.device)]


class Execution:
    """The next `len` batches of a loader, gathered one by one as they are asked for.

    `num_images` says how many images they hold (give or take one where ranks share a last batch).
    """

    def __init__(self, loader: Loader, num_batches: int) -> None:
        self._loader = loader
        self._num_batches = num_batches
        size, world_size = loader.walk.batch_size, loader.walk.world_size
        first = loader.position * size
        self.num_images = min(num_batches * size, len(loader.indices) // world_size - first)

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self._num_batches):
            yield self._loader.next_batch()
