"""Crop, flip and normalize CIFAR-10: batched on the device, against torchvision's transforms image by image.

By the clock on the wall, as in `data_path.py`, and against the fastest number of workers.
"""

import os
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import transforms

from benchmarks.data_path import BATCH_SIZE, against_workers, resident
from benchmarks.measure import Comparison
from convline.data.augment.language import parse_augment
from convline.data.augment.pipeline import Pipeline
from convline.data.preprocess import Preprocessor, channel_statistics
from convline.data.sources import Images, cifar10, synthetic

SHAPE = (3, 32, 32)


class PilImages(Dataset[tuple[Tensor, int]]):
    """Images one by one, as torchvision's CIFAR10 gives them: an array row made a PIL image, and transformed."""

    def __init__(self, data: Images, transform: transforms.Compose) -> None:
        self.rows = data.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels, self.transform = data.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.rows[number])), self.labels[number]


def compare_augmented(target: float, num_rounds: int, num_images: int = 50_000) -> Comparison:
    """Measure one shuffled epoch over CIFAR-10's training images, cropped, flipped and normalized.

    Args:
        target: how many times as fast ours is to be.
        num_rounds: how often each is measured.
        num_images: of the synthetic ones, where the real ones are not there.
    """
    said, data = images(num_images)
    mean, std = channel_statistics(data.images, torch.arange(len(data)))
    steps = parse_augment("crop(4, mode=zero), flip")
    pipeline = Pipeline(steps, SHAPE, 10, (255 * mean).float(), seed=0)
    preprocessor = Preprocessor(mean, std, SHAPE, torch.device("cpu"), pipeline=pipeline)
    ours = resident(data.images, data.labels, preprocessor)
    theirs = PilImages(
        data,
        transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean.tolist(), std.tolist()),
            ]
        ),
    )
    name = f"data path, crop and flip, batch {BATCH_SIZE}"
    return against_workers(name, ours, theirs, target, num_rounds).noted(data=said, images=len(data))


def images(num_images: int) -> tuple[str, Images]:
    """CIFAR-10's training images if they are there, else made-up ones of their shape."""
    root = Path(os.environ.get("CONVLINE_DATA", "data"))
    if (root / "cifar-10-batches-py" / "data_batch_1").is_file():
        return "CIFAR-10", cifar10(root, "train")
    return "synthetic images of CIFAR-10's shape", synthetic("train", num_images, 0, SHAPE, 10, noise=0.25, seed=0)
