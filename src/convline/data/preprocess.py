"""From gathered uint8 images to what a network takes: sized, augmented, normalised, on the device and batched."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from convline.data.augment.pipeline import Pipeline


class Prepare:
    """Makes the batches of one loader.

    Args:
        mean, std: per channel of the images as stored, in units of the full range; a pixel p becomes
            (p / 255 - mean) / std.
        input_shape: channels, height and width for the network: images of another size are resized (bilinear,
            antialiased), grey ones repeated over the channels.
        device: where batches are prepared.
        channels_last: memory format of the batches.
        pipeline: augmentation; None for images as they are.
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
        # One multiplication and one addition a pixel. They are written out for a whole image, channels last:
        # broadcasting over the channels would go a few numbers at a time, which takes several times as long.
        scale, shift = 1 / (255 * std), -mean / std
        self._scale_HWC, self._shift_HWC = (
            values.float().expand(*self._size, self._channels).contiguous().to(device) for values in (scale, shift)
        )
        self._channels_last = channels_last
        self._draws: list[Tensor] = []

    def start_epoch(self, epoch: int, num_images: int) -> None:
        """Draw what is random in this epoch, for every image of the set."""
        if self.pipeline is not None:
            self._draws = [torch.as_tensor(draws).to(self.device) for draws in self.pipeline.draws(epoch, num_images)]

    def __call__(self, images: Tensor, labels: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """The network's input and its targets.

        Args:
            images: uint8, B×C×H×W.
            labels: int64, B.
            index: of the images in the whole set.
        Returns:
            float32 B×C×H×W, and labels or, where images are mixed, float32 B×classes shares.
        """
        targets = labels
        images = self._sized(images)
        if self.pipeline is not None:
            drawn = [draws.index_select(0, index) for draws in self._draws]
            images, targets = self.pipeline(images, labels, drawn)
        return self.normalise(images), targets

    def _sized(self, images: Tensor) -> Tensor:
        if images.shape[2:] != self._size:
            images = F.interpolate(images.float(), self._size, mode="bilinear", antialias=True)
        return images if images.shape[1] == self._channels else images.expand(-1, self._channels, -1, -1)

    def normalise(self, images: Tensor) -> Tensor:
        """Images in 0…255 as float32, standardised per channel, in the loader's memory format."""
        pixels = images.permute(0, 2, 3, 1).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        return self._formatted(pixels.mul_(self._scale_HWC).add_(self._shift_HWC))

    def displayed(self, images: Tensor) -> Tensor:
        """Normalised images as uint8 again, for the eye."""
        pixels = (images.permute(0, 2, 3, 1) - self._shift_HWC) / self._scale_HWC
        return self._formatted(pixels.round_().clamp_(0, 255).to(torch.uint8))

    def _formatted(self, pixels_NHWC: Tensor) -> Tensor:
        images = pixels_NHWC.permute(0, 3, 1, 2)
        return images if self._channels_last else images.contiguous()
