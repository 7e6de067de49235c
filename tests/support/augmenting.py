"""Made-up images and pipelines for the tests of augmentations."""

import numpy as np
import torch
from torch import Tensor

from convline.data.augment.language import parse_augment
from convline.data.augment.pipeline import Pipeline

FILL = (120.6, 60.0, 30.4)
FORMATS = [torch.contiguous_format, torch.channels_last]


def pictures(num_images: int = 24, channels: int = 3, height: int = 8, width: int = 10) -> Tensor:
    """Random bytes: no two rows or columns are alike."""
    numbers = np.random.default_rng(0).integers(0, 256, (num_images, channels, height, width), dtype=np.uint8)
    return torch.from_numpy(numbers)


def make(spec: str, channels: int = 3, height: int = 8, width: int = 10, seed: int = 0) -> Pipeline:
    return Pipeline(parse_augment(spec), (channels, height, width), 10, torch.tensor(FILL[:channels]), seed)
