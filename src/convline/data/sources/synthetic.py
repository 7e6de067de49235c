"""Made-up images of any shape: learnable, seeded, for tests and benchmarks."""

import torch

from convline.data.sources.images import Images, Part


def synthetic(
    part: Part,
    num_train: int,
    num_test: int,
    shape: tuple[int, int, int],
    num_classes: int,
    noise: float,
    seed: int,
) -> Images:
    """One random pattern a class, with Gaussian noise of `noise` × 255 on every pixel; classes in turn."""
    prototypes = torch.rand(num_classes, *shape, generator=torch.Generator().manual_seed(seed))
    count = num_train if part == "train" else num_test
    draws = torch.Generator().manual_seed(seed + (1 if part == "train" else 2))
    labels = torch.arange(count) % num_classes
    images = torch.empty(count, *shape, dtype=torch.uint8, memory_format=torch.channels_last)
    for start in range(0, count, 4096):  # never a float copy of the whole
        chosen = labels[start : start + 4096]
        noisy = prototypes[chosen] + noise * torch.randn(len(chosen), *shape, generator=draws)
        images[start : start + 4096] = noisy.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
    return Images(images, labels, tuple(f"class {i}" for i in range(num_classes)))
