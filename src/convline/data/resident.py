"""The resident loader: the data set lies on the device, a batch is an index."""

from torch import Tensor

from convline.data.loader import Loader, Walk
from convline.data.preprocess import Prepare


class ResidentLoader(Loader):
    """Batches gathered on the device.

    Args:
        images: uint8, N×C×H×W, channels-last, on the device where the batches are wanted; never copied.
        labels: int64, N, on the same device.
        indices: which of them to go through.
        prepare, walk: see `Loader`.
    """

    def __init__(self, images: Tensor, labels: Tensor, indices: Tensor, prepare: Prepare, walk: Walk) -> None:
        super().__init__(indices.to(images.device), prepare, walk, len(labels))
        self.images, self.labels = images, labels
        self._images_NHWC = images.permute(0, 2, 3, 1)  # contiguous: whole images are copied

    def _gather(self, position: int) -> tuple[Tensor, Tensor, Tensor]:
        index = self.batch_indices(position)
        return self._images_NHWC.index_select(0, index).permute(0, 3, 1, 2), self.labels.index_select(0, index), index
