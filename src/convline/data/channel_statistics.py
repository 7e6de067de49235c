"""Compute the exact mean and standard deviation of each channel of uint8 images."""

import torch
from torch import Tensor

CHUNK_BYTES = 2**20  # that are widened at once: they stay in the processor's cache


def channel_statistics(images: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the chosen images, in units of the full range (pixel value / 255).

    Summed as whole numbers, so that the result depends neither on the order nor on the machine. The standard
    deviation is the population's (divided by the number of pixels). A constant channel gets 1, so that it becomes 0.

    Args:
        images: uint8, N×C×H×W; quickest in channels-last memory format.
        indices: of the chosen ones.
    Returns:
        Two float64 tensors of C entries.
    """
    channels, height, width = images.shape[1:]
    rows = images.permute(0, 2, 3, 1).flatten(1)
    # Summed over images at each position by itself: whole rows are added, whatever the number of channels.
    total = torch.zeros(rows.shape[1], dtype=torch.int64)
    squares = torch.zeros_like(total)
    for chunk in indices.split(min(max(1, CHUNK_BYTES // rows.shape[1]), 33_025)):
        pixels = rows.index_select(0, chunk).to(torch.int32)
        # in 32 bits: exact up to 33,025 times 255 squared
        total += pixels.sum(dim=0, dtype=torch.int32)
        squares += pixels.mul_(pixels).sum(dim=0, dtype=torch.int32)
    total, squares = (sums.view(-1, channels).sum(dim=0) for sums in (total, squares))
    count = len(indices) * height * width
    mean = total.double() / count
    variance = (squares.double() / count - mean * mean).clamp_(min=0)
    std = variance.sqrt()
    return mean / 255, torch.where(std > 0, std / 255, 1.0)
