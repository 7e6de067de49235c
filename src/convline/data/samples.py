"""Load single images of a data set, both normalized and as pixels for display."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convline.data.datamodule import DataModule
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
    stored, labels, indices = data.stored(split)
    index = indices[positions]
    images, _ = _preprocessor(data)(stored[index], labels[index], index)
    return Samples(images.to(device), denormalize(data, images), labels[index])


def num_eval_samples(data: DataModule, split: str) -> int:
    """Count the images of a split ("val" or "test") that are evaluated."""
    limit = data.limit_val_batches if split == "val" else data.limit_test_batches
    num_images = len(data.stored(split)[2])
    return min(num_images, limit * data.eval_batch_size) if limit else num_images


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
    which depends on the other images of the batch). Without augmentation every image is a different one. The random
    state of the training is not changed.

    Args:
        data: a data module after `read()`.
        num_rows, num_columns: size of the grid; cells without an image are white.
    """
    cpu, pipeline = torch.device("cpu"), data.pipeline
    plain = Preprocessor(data.mean, data.std, data.input_shape, cpu, False)
    index = data.mixed_train_indices()[: num_rows if pipeline else num_rows * num_columns]
    images, labels = data.train_images[index], data.train_labels[index]
    columns = [plain(images, labels, index)[0]]
    if pipeline is not None:
        augmented = Preprocessor(data.mean, data.std, data.input_shape, cpu, False, pipeline)
        for epoch in range(num_columns - 1):
            augmented.start_epoch(epoch, len(data.train_labels))
            columns.append(augmented(images, labels, index)[0])
    pictures = plain.denormalize(torch.stack(columns, dim=1).flatten(0, 1))
    blank = torch.full((num_rows * num_columns - len(pictures), *pictures.shape[1:]), 255, dtype=torch.uint8)
    return torch.cat([pictures, blank]).unflatten(0, (num_rows, num_columns))


def _preprocessor(data: DataModule) -> Preprocessor:
    return Preprocessor(data.mean, data.std, data.input_shape, torch.device("cpu"), data.channels_last)
