"""Sums over the batches of an epoch."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Sums:
    """Sums over the batches of an epoch so far: loss times images, hits, images, batches.

    Hits are no whole number where images are mixed.
    """

    loss_sum: float = 0.0
    hits: float = 0.0
    images: int = 0
    batches: int = 0

    @classmethod
    def of(cls, losses: list[float], hits: list[float], sizes: list[int]) -> "Sums":
        """Sums of these batches, from their mean losses."""
        weighted = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
        return cls(weighted, sum(hits), sum(sizes), len(sizes))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.loss_sum + other.loss_sum,
            self.hits + other.hits,
            self.images + other.images,
            self.batches + other.batches,
        )

    @property
    def loss(self) -> float:
        """Mean loss per image; nan before the first."""
        return self.loss_sum / self.images if self.images else math.nan

    @property
    def accuracy(self) -> float:
        """Share of hits, 0 to 1; nan before the first image."""
        return self.hits / self.images if self.images else math.nan
