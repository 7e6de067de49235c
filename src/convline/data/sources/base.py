"""Define the interface of sources, which return labeled images as tensors."""

from dataclasses import InitVar, dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from convline.storage import short_hash

SplitName = Literal["train", "test"]

DIGITS = tuple("0123456789")  # the classes of every set of digits


@dataclass(frozen=True)
class Images:
    """Hold a set of labeled images.

    Args:
        images: uint8, N×C×H×W, in channels-last memory format: other tensors are copied into it. Batches of images
            whose channels lie together are normalized and made ready for convolutions several times as fast.
        labels: int64, N, each below `len(classes)`; or of multi-label images float32, N×classes, 0 or 1.
        classes: the classes' names, in order of their numbers.
        flip_invariant: whether a mirrored image still shows its class; no for digits, letters and other characters.
        notices: messages about the images, printed before training.
        known_fingerprint: result of `fingerprint`, if it was computed before.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    flip_invariant: bool = True
    notices: tuple[str, ...] = ()
    known_fingerprint: InitVar[str | None] = None

    def __post_init__(self, known_fingerprint: str | None) -> None:
        object.__setattr__(self, "images", self.images.contiguous(memory_format=torch.channels_last))
        object.__setattr__(self, "_known", known_fingerprint)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_multilabel(self) -> bool:
        """Return whether an image may have several labels, or none."""
        return self.labels.ndim == 2

    def fingerprint(self) -> str:
        """Hash every pixel and label to 16 hexadecimal digits."""
        known: str | None = self.__dict__["_known"]
        if known is not None:
            return known
        return short_hash(
            repr((tuple(self.images.shape), self.classes)),
            self.images.permute(0, 2, 3, 1).numpy().data,
            self.labels.contiguous().numpy().data,
        )


class Source(Protocol):
    """Read one official split; a source of files takes their folder as its first argument."""

    def __call__(self, split_name: SplitName, /) -> Images:
        """Return all images of the official training or test set."""
        ...


def swap_sides(images_NCHW: Tensor) -> None:
    """Transpose square images in place, in chunks, so that memory holds them once."""
    for chunk in images_NCHW.split(1024):
        chunk.copy_(chunk.transpose(2, 3).clone())


def lay_channels_last(images_NCHW: Tensor) -> Tensor:
    """Convert images to channels-last memory format in place; the given tensor is then invalid.

    Args:
        images_NCHW: contiguous.
    """
    count, channels, height, width = images_NCHW.shape
    flat = images_NCHW.view(count, -1)
    for images, memory in zip(images_NCHW.split(1024), flat.split(1024), strict=True):
        memory.copy_(images.permute(0, 2, 3, 1).flatten(1))  # flattening has copied them already
    return flat.view(count, height, width, channels).permute(0, 3, 1, 2)
