"""Generate a learnable data set of any image shape from a seed, for tests and benchmarks."""

import math

import numpy as np
import torch

from convline.data.sources.base import Images, SplitName
from convline.formatting import shape_text
from convline.machine import check_memory


def synthetic(
    split_name: SplitName,
    num_train: int,
    num_test: int,
    shape: tuple[int, int, int],
    num_classes: int,
    noise: float,
    seed: int,
) -> Images:
    """Generate images of one random pattern per class, with Gaussian noise of standard deviation `noise` × 255.

    Image i has class i modulo `num_classes`. NumPy generates the numbers, since torch's normal numbers depend on the
    CPU's instruction set.
    """
    check_memory(
        max(num_train, num_test) * (math.prod(shape) + 8) + 4 * num_classes * math.prod(shape),
        f"{max(num_train, num_test):,} images of {shape_text(shape)}",
        "Type fewer or smaller ones: data.source.num_train=2000 data.image_size=16",
    )
    prototypes = np.random.default_rng([seed, 0]).random((num_classes, *shape), dtype=np.float32)
    count = num_train if split_name == "train" else num_test
    rng = np.random.default_rng([seed, 1 if split_name == "train" else 2])
    labels = np.arange(count) % num_classes
    images = torch.empty(count, *shape, dtype=torch.uint8, memory_format=torch.channels_last)
    for start in range(0, count, 4096):  # in chunks, so that no float copy of all images is needed
        chosen = labels[start : start + 4096]
        noisy = prototypes[chosen] + noise * rng.standard_normal((len(chosen), *shape), dtype=np.float32)
        pixels = np.rint(noisy * 255).clip(0, 255).astype(np.uint8)
        images[start : start + 4096] = torch.from_numpy(pixels)
    return Images(images, torch.from_numpy(labels), tuple(f"class {i}" for i in range(num_classes)))
