"""Define the interface of sources, which return labeled images as tensors."""

from dataclasses import InitVar, dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from convline.errors import UserError
from convline.formatting import shape_text, visible
from convline.storage import short_hash

SplitName = Literal["train", "test"]

DIGITS = tuple("0123456789")  # the classes of every set of digits


@dataclass(frozen=True)
class Images:
    """Hold a set of labeled images.

    Args:
        images: uint8, N×C×H×W, in channels-last memory format: other tensors are copied into it. Batches of images
            whose channels lie together are normalized and made ready for convolutions several times as fast.
        labels: int64, N, from 0 to `len(classes)` - 1; or of multi-label images float32, N×classes, 0 or 1. Other
            integers are converted.
        classes: the classes' names, in order of their numbers.
        flip_invariant: whether a mirrored image still shows its class; no for digits, letters and other characters.
        notices: messages about the images, printed before training.
        known_fingerprint: result of `fingerprint`, if it was computed before.
    Raises:
        UserError: the images or the labels are of another type or shape, or a label is out of range.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    flip_invariant: bool = True
    notices: tuple[str, ...] = ()
    known_fingerprint: InitVar[str | None] = None

    def __post_init__(self, known_fingerprint: str | None) -> None:
        _check_pixels(self.images)
        # names are shown on terminals, in tables and as tags
        object.__setattr__(self, "classes", tuple(visible(str(name)) for name in self.classes))
        object.__setattr__(self, "labels", _checked_labels(self.labels, len(self.images), len(self.classes)))
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


def _check_pixels(images: Any) -> None:
    """Refuse images that are not uint8, N×C×H×W: floats from 0 to 1 would be taken for nearly black ones."""
    if not isinstance(images, Tensor):
        raise UserError(
            f"data.source gives images as {type(images).__name__}, but expected is a tensor, uint8, N×C×H×W.\n"
            "  Convert a NumPy array: torch.from_numpy(array)"
        )
    if images.ndim != 4:
        raise UserError(
            f"data.source gives images of {images.ndim} dimensions ({shape_text(images.shape)}), but expected are "
            "four: N×C×H×W.\n  Gray images of N×H×W: images.unsqueeze(1); channels last: images.permute(0, 3, 1, 2)"
        )
    if images.dtype != torch.uint8:
        low, high = (images.min().item(), images.max().item()) if images.numel() else (0, 0)
        unit = images.is_floating_point() and low >= 0 and high <= 1
        remedy = (
            "Convert them: (images * 255).round().to(torch.uint8)"
            if unit
            else "Give the pixels as they are in the files: Convline normalizes them"
        )
        raise UserError(
            f"data.source gives images of {images.dtype} from {low:g} to {high:g}, but expected is uint8, from 0 to "
            f"255.\n  {remedy}"
        )


def _checked_labels(labels: Any, num_images: int, num_classes: int) -> Tensor:
    """Return labels as int64, or those of multi-label images as they are; refuse any that name no class."""
    if not isinstance(labels, Tensor) or labels.ndim not in (1, 2):
        kind = f"of {shape_text(labels.shape)}" if isinstance(labels, Tensor) else f"as {type(labels).__name__}"
        raise UserError(
            f"data.source gives labels {kind}, but expected is a tensor of one number an image, int64.\n"
            "  Convert a list: torch.tensor(labels)"
        )
    if len(labels) != num_images:
        raise UserError(f"data.source gives {num_images:,} images, but {len(labels):,} labels.")
    if labels.ndim == 2:
        return labels
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise UserError(
            f"data.source gives labels of {labels.dtype}, but expected are whole numbers.\n"
            "  Convert them: labels.long()"
        )
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
        raise UserError(
            f"data.source gives labels from {labels.min()} to {labels.max()}, but its {num_classes} classes are "
            f"numbered from 0 to {num_classes - 1}.\n"
            "  Number the labels from 0, or name every class in Images(…, classes=…)"
        )
    return labels.long()


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
