"""The resident loader: the data set lies on the device, a batch is an index.

Notable choices:
- Order is a pure function of (seed, epoch), and the position a number: saving them is saving the loader.
- It hands out *executions*: short iterators over the next few batches. The training step takes several optimizer steps
  in one call, so that the framework's cost per call is shared among them.
- With several ranks each global batch is dealt out among them: every image is seen once an epoch, but for a rest of
  fewer images than ranks at its end.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]


def count_batches(num_images: int, batch_size: int, world_size: int = 1, limit: int | None = None) -> int:
    """Batches an epoch on each rank; the last one may be smaller."""
    whole, rest = divmod(num_images, batch_size * world_size)
    # a rest that does not reach every rank would leave one without a batch while the others wait for it
    return min(whole + (rest >= world_size), limit or num_images)


class ResidentLoader:
    """Batches of normalised images, gathered on the device.

    Args:
        images: uint8, N×C×H×W, on the device where the batches are wanted.
        labels: int64, N, on the same device.
        mean, std: per channel, in units of the full range; a pixel p becomes (p / 255 - mean) / std.
        batch_size: images a batch on each rank; the last batch of an epoch may be smaller.
        order_seed: shuffle by this seed and the epoch's number; None keeps the order.
        steps_per_execution: batches in each iterator that iterating over the loader yields.
        limit: batches an epoch at most; None for all.
        rank, world_size: this process among those that share each epoch.
        channels_last: memory format of the batches.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        mean: Tensor,
        std: Tensor,
        batch_size: int,
        order_seed: int | None = None,
        steps_per_execution: int = 1,
        limit: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        channels_last: bool = True,
    ) -> None:
        self.images, self.labels = images, labels
        # one multiplication and one addition a pixel
        shape = (1, -1, 1, 1)
        self._scale = (1 / (255 * std)).float().view(shape).to(images.device)
        self._shift = (-mean / std).float().view(shape).to(images.device)
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.batch_size = batch_size
        self.order_seed = order_seed
        self.steps_per_execution = steps_per_execution
        self.rank, self.world_size = rank, world_size
        self.num_batches = count_batches(len(labels), batch_size, world_size, limit)
        self.epoch = 0
        self.position = 0  # batches handed out in this epoch
        self._order: Tensor | None = None

    def __len__(self) -> int:
        """Executions an epoch."""
        return -(-self.num_batches // self.steps_per_execution)

    def __iter__(self) -> "Iterator[Execution]":
        """Go on from the position: to the end of a half-done epoch, or through the next one."""
        if self.position >= self.num_batches:
            self.epoch, self.position = self.epoch + 1, 0
        self._order = self._epoch_order()
        while self.position < self.num_batches:
            yield Execution(self, min(self.steps_per_execution, self.num_batches - self.position))

    def next_batch(self) -> Batch:
        """Gather and normalise the batch at the position, and move on by one."""
        if self._order is None:
            self._order = self._epoch_order()
        start = self.position * self.batch_size * self.world_size
        index = self._order[start : start + self.batch_size * self.world_size]
        if self.world_size > 1:
            index = index.tensor_split(self.world_size)[self.rank]
        self.position += 1
        return self.normalise(self.images.index_select(0, index)), self.labels.index_select(0, index)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images as float32, standardised per channel, in the loader's memory format."""
        return images.to(torch.float32, memory_format=self._memory_format).mul_(self._scale).add_(self._shift)

    def state_dict(self) -> dict[str, int]:
        """Where the loader is: the epoch and the batches handed out in it."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go back to where `state_dict` was taken; the next batch is the one that came next then."""
        self.epoch, self.position = state["epoch"], state["position"]
        self._order = None

    def _epoch_order(self) -> Tensor:
        if self.order_seed is None:
            return torch.arange(len(self.labels), device=self.labels.device)
        # By NumPy: torch's generator takes 32 bits of its seed, too few to keep (seed, epoch) pairs apart; and drawn on
        # the processor, the order is the same whatever the device.
        order = np.random.default_rng([self.order_seed, self.epoch]).permutation(len(self.labels))
        return torch.from_numpy(order).to(self.labels.device)


class Execution:
    """The next `len` batches of a loader, gathered one by one as they are asked for.

    `num_images` says how many images they hold (give or take one where ranks share a last batch).
    """

    def __init__(self, loader: ResidentLoader, num_batches: int) -> None:
        self._loader = loader
        self._num_batches = num_batches
        first = loader.position * loader.batch_size
        self.num_images = min(num_batches * loader.batch_size, len(loader.labels) // loader.world_size - first)

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self._num_batches):
            yield self._loader.next_batch()
