"""Generate images of any shape: learnable, seeded, for tests and benchmarks."""

import numpy as np
import torch

from convline.data.sources.base import Images, SplitName


def synthetic(
    split_name: SplitName,
    num_train: int,
    num_test: int,
    shape: tuple[int, int, int],
    num_classes: int,
    noise: float,
    seed: int,
) -> Images:
    """Generate one random pattern a class, with Gaussian noise of `noise` × 255 on every pixel; classes in turn.

    NumPy generates the numbers: torch's normal numbers differ with the processor's instruction set.
    """
    prototypes = np.random.default_rng([seed, 0]).random((num_classes, *shape), dtype=np.float32)
    count = num_train if split_name == "train" else num_test
    rng = np.random.default_rng([seed, 1 if split_name == "train" else 2])
    labels = np.arange(count) % num_classes
    images = torch.empty(count, *shape, dtype=torch.uint8, memory_format=torch.channels_last)
    for start in range(0, count, 4096):  # never a float copy of the whole
        chosen = labels[start : start + 4096]
        noisy = prototypes[chosen] + noise * rng.standard_normal((len(chosen), *shape), dtype=np.float32)
        pixels = np.rint(noisy * 255).clip(0, 255).astype(np.uint8)
        images[start : start + 4096] = torch.from_numpy(pixels)
    return Images(images, torch.from_numpy(labels), tuple(f"class {i}" for i in range(num_classes)))
