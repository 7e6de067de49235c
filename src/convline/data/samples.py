"""Single images of a data set, for the network and for the eye."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convline.data.datamodule import DataModule
from convline.data.preprocess import Prepare


@dataclass(frozen=True)
class Examples:
    """Some images.

    Args:
        images: as the network gets them; float32, N×C×H×W, on the device that was asked for.
        pictures: the same for the eye; uint8, N×C×H×W, on the host.
        labels: int64, N, on the host.
    """

    images: Tensor
    pictures: Tensor
    labels: Tensor


def examples(data: DataModule, part: str, places: Tensor, device: torch.device) -> Examples:
    """Images of one part ("val" or "test"), by their places in the order in which they are evaluated."""
    stored, labels, indices = data.stored(part)
    index = indices[places]
    images, _ = _prepare(data)(stored[index], labels[index], index)
    return Examples(images.to(device), displayed(data, images), labels[index])


def num_images(data: DataModule, part: str) -> int:
    """How many images of one part are evaluated."""
    limit = data.limit_val_batches if part == "val" else data.limit_test_batches
    number = len(data.stored(part)[2])
    return min(number, limit * data.eval_batch_size) if limit else number


def displayed(data: DataModule, images: Tensor) -> Tensor:
    """Normalised images N×C×H×W, on the host, as uint8."""
    return _prepare(data).displayed(images).contiguous()


def pixel_limits(data: DataModule) -> tuple[Tensor, Tensor]:
    """The normalised values of the darkest and of the brightest pixel: float32, C×1×1 each."""
    channels = (data.input_shape[0], 1, 1)
    low, high = -data.mean / data.std, (1 - data.mean) / data.std
    return low.float().view(-1, 1, 1).expand(channels), high.float().view(-1, 1, 1).expand(channels)


def _prepare(data: DataModule) -> Prepare:
    return Prepare(data.mean, data.std, data.input_shape, torch.device("cpu"), data.channels_last)
