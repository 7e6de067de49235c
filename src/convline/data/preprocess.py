"""Resize, augment and normalize batches of uint8 images on the device.

`channel_statistics` computes the mean and the standard deviation for the normalization.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from convline.data.augment.pipeline import Pipeline

CHUNK_BYTES = 2**20  # bytes that are converted to int32 at once; they fit into the CPU's cache


class Preprocessor:
    """Preprocess the batches of one loader.

    Args:
        mean, std: per channel of the images as stored, in units of the full range; a pixel p becomes
            (p / 255 - mean) / std.
        input_shape: channels, height and width for the network: images of another size are resized (bilinear,
            antialiased), gray ones repeated over the channels.
        device: device on which batches are preprocessed.
        channels_last: memory format of the batches.
        pipeline: augmentation; None for no augmentation.
    """

    def __init__(
        self,
        mean: Tensor,
        std: Tensor,
        input_shape: Sequence[int],
        device: torch.device,
        channels_last: bool = True,
        pipeline: Pipeline | None = None,
    ) -> None:
        self.device, self.pipeline = device, pipeline
        self._channels, self._size = input_shape[0], tuple(input_shape[1:])
        # Normalization is one multiplication and one addition a pixel. Scale and shift are expanded to a whole image,
        # channels last: broadcasting over three channels would process three numbers at a time, several times slower.
        scale, shift = 1 / (255 * std), -mean / std
        self._scale_HWC, self._shift_HWC = (
            values.float().expand(*self._size, self._channels).contiguous().to(device) for values in (scale, shift)
        )
        self._channels_last = channels_last
        self._random_parameters: list[Tensor] = []

    def start_epoch(self, epoch: int, num_images: int) -> None:
        """Sample the random parameters of this epoch, for every image of the set."""
        if self.pipeline is not None:
            self._random_parameters = [
                torch.as_tensor(rows).to(self.device) for rows in self.pipeline.random_parameters(epoch, num_images)
            ]

    def __call__(self, images: Tensor, labels: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the network's input and its targets.

        Args:
            images: uint8, B×C×H×W.
            labels: int64, B; of multi-label images float32, B×classes.
            index: indices of the images in the whole set.
        Returns:
            float32 B×C×H×W, and the labels or, if images are mixed, soft targets B×classes, float32.
        """
        targets = labels
        images = self._resize(images)
        if self.pipeline is not None:
            parameters = [rows.index_select(0, index) for rows in self._random_parameters]
            images, targets = self.pipeline(images, labels, parameters)
        return self.normalize(images), targets

    def _resize(self, images: Tensor) -> Tensor:
        if images.shape[2:] != self._size:
            images = F.interpolate(images.float(), self._size, mode="bilinear", antialias=True)
        return images if images.shape[1] == self._channels else images.expand(-1, self._channels, -1, -1)

    def normalize(self, images: Tensor) -> Tensor:
        """Normalize images in 0…255 per channel to float32, in the loader's memory format."""
        pixels = images.permute(0, 2, 3, 1).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        return self._formatted(pixels.mul_(self._scale_HWC).add_(self._shift_HWC))

    def denormalize(self, images: Tensor) -> Tensor:
        """Convert normalized images back to uint8 pixels, for display."""
        pixels = (images.permute(0, 2, 3, 1) - self._shift_HWC) / self._scale_HWC
        return self._formatted(pixels.round_().clamp_(0, 255).to(torch.uint8))

    def _formatted(self, pixels_NHWC: Tensor) -> Tensor:
        images = pixels_NHWC.permute(0, 3, 1, 2)
        return images if self._channels_last else images.contiguous()


def channel_statistics(images: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the exact mean and standard deviation of each channel, in units of the full range (pixel value / 255).

    The sums are sums of integers, so that the result depends neither on the order of the images nor on the machine. The
    standard deviation is the population's (divided by the number of pixels). It is 1 for a constant channel, which is
    thereby normalized to 0.

    Args:
        images: uint8, N×C×H×W; quickest in channels-last memory format.
        indices: int64, positions of the images that are used.
    Returns:
        Mean and standard deviation, float64, C entries each.
    """
    channels, height, width = images.shape[1:]
    rows = images.permute(0, 2, 3, 1).flatten(1)
    # Sum over the images first, separately for each position: whole rows are added, which is fast for any number of
    # channels. The positions of each channel are summed at the end.
    total = torch.zeros(rows.shape[1], dtype=torch.int64)
    squares = torch.zeros_like(total)
    for chunk in indices.split(min(max(1, CHUNK_BYTES // rows.shape[1]), 33_025)):
        pixels = rows.index_select(0, chunk).to(torch.int32)
        # int32 sums are exact for up to 33,025 images, since 33,025 · 255² < 2³¹
        total += pixels.sum(dim=0, dtype=torch.int32)
        squares += pixels.mul_(pixels).sum(dim=0, dtype=torch.int32)
    total, squares = (sums.view(-1, channels).sum(dim=0) for sums in (total, squares))
    count = len(indices) * height * width
    mean = total.double() / count
    variance = (squares.double() / count - mean * mean).clamp_(min=0)
    std = variance.sqrt()
    return mean / 255, torch.where(std > 0, std / 255, 1.0)
