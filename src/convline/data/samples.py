"""Load single images of a data set, both normalized and as pixels for display."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convline.data.datamodule import DataModule
from convline.data.from_datamodule import FromDataModule
from convline.data.preprocess import Preprocessor


@dataclass(frozen=True)
class Samples:
    """Hold a few images, both normalized and as pixels for display.

    Args:
        images: normalized, the network's input; float32, N×C×H×W, on the requested device.
        pictures: the same images as pixels, for display; uint8, N×C×H×W, on the host.
        labels: int64, N, on the host; of multi-label images float32, N×classes.
    """

    images: Tensor
    pictures: Tensor
    labels: Tensor


def load_samples(data: DataModule, split: str, positions: Tensor, device: torch.device) -> Samples:
    """Load images of a split ("val" or "test") by their positions in the order of evaluation."""
    images, labels = data.eval_images(split, positions)
    return Samples(images.to(device), denormalize(data, images), labels)


def denormalize(data: DataModule, images: Tensor) -> Tensor:
    """Convert normalized images N×C×H×W, on the host, back to uint8 pixels."""
    return _preprocessor(data).denormalize(images).contiguous()


def pixel_limits(data: DataModule) -> tuple[Tensor, Tensor]:
    """Return the normalized values of the darkest and of the brightest pixel: float32, C×1×1 each."""
    channels = (data.input_shape[0], 1, 1)
    low, high = -data.mean / data.std, (1 - data.mean) / data.std
    return low.float().view(-1, 1, 1).expand(channels), high.float().view(-1, 1, 1).expand(channels)


def preview(data: DataModule, num_rows: int, num_columns: int) -> Tensor:
    """Return a few training images with their augmentation, for display; uint8, rows×columns×C×H×W.

    With augmentation each row is one image: first without augmentation, then as in the first epochs (except for mixing,
    which depends on the other images of the batch). Without augmentation every image is a different one, and of a data
    module of the user's own they are the first ones of the training. The random state of the training is not changed.

    Args:
        data: a data module after `read()`.
        num_rows, num_columns: size of the grid; cells without an image are white.
    """
    cpu, pipeline = torch.device("cpu"), data.pipeline
    plain = Preprocessor(data.mean, data.std, data.input_shape, cpu, False)
    if isinstance(data, FromDataModule):
        return _grid(plain.denormalize(data.first_train_images(num_rows * num_columns)), num_rows, num_columns)
    index = data.mixed_train_indices()[: num_rows if pipeline else num_rows * num_columns]
    images, labels = data.train_images[index], data.train_labels[index]
    columns = [plain(images, labels, index)[0]]
    if pipeline is not None:
        augmented = Preprocessor(data.mean, data.std, data.input_shape, cpu, False, pipeline)
        for epoch in range(num_columns - 1):
            augmented.start_epoch(epoch, len(data.train_labels))
            columns.append(augmented(images, labels, index)[0])
    return _grid(plain.denormalize(torch.stack(columns, dim=1).flatten(0, 1)), num_rows, num_columns)


def _grid(pictures: Tensor, num_rows: int, num_columns: int) -> Tensor:
    blank = torch.full((num_rows * num_columns - len(pictures), *pictures.shape[1:]), 255, dtype=torch.uint8)
    return torch.cat([pictures, blank]).unflatten(0, (num_rows, num_columns))


def _preprocessor(data: DataModule) -> Preprocessor:
    return Preprocessor(data.mean, data.std, data.input_shape, torch.device("cpu"), data.channels_last)
