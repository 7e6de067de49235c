"""Per-channel mean and standard deviation of uint8 images, exact."""

import torch
from torch import Tensor

CHUNK_PIXELS = 2**20  # that are widened at once: they stay in the processor's cache


def channel_statistics(images_NCHW: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the chosen images, in units of the full range (pixel value / 255).

    Summed as whole numbers, so that the result depends neither on the order nor on the machine. The deviation is the
    population's (divided by the number of pixels). A channel that is constant gets deviation 1: it becomes 0.

    Returns:
        Two float64 tensors of C entries.
    """
    height, width = images_NCHW.shape[2:]
    total = torch.zeros(images_NCHW.shape[1], dtype=torch.int64)
    squares = torch.zeros_like(total)
    for chunk in indices.split(max(1, CHUNK_PIXELS // images_NCHW.shape[1:].numel())):
        pixels = images_NCHW.index_select(0, chunk).to(torch.int32)
        # a row in 32 bits: as fast as 32-bit sums are, and exact up to 33,025 pixels of 255 squared
        total += pixels.sum(dim=3, dtype=torch.int32).sum(dim=(0, 2), dtype=torch.int64)
        squares += pixels.mul_(pixels).sum(dim=3, dtype=torch.int32).sum(dim=(0, 2), dtype=torch.int64)
    count = len(indices) * height * width
    mean = total.double() / count
    variance = (squares.double() / count - mean * mean).clamp_(min=0)
    deviation = variance.sqrt()
    return mean / 255, torch.where(deviation > 0, deviation / 255, 1.0)
