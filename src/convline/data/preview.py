"""Training images as training will show them, for the eye."""

import torch
from torch import Tensor

from convline.data.datamodule import DataModule
from convline.data.preprocess import Prepare


def preview(data: DataModule, rows: int, columns: int) -> Tensor:
    """A few training images; uint8 rows×columns×C×H×W.

    With augmentation each row is one image: as it is stored, then as the first epochs show it, but for mixing, where it
    depends on the batch whom an image meets. Without, every image is another one. The training is not touched.

    Args:
        data: that has been read.
        rows, columns: of the picture; white where there are fewer images.
    """
    cpu, pipeline = torch.device("cpu"), data.pipeline
    plain = Prepare(data.mean, data.std, data.input_shape, cpu, False)
    index = data.mixed_train_indices()[: rows if pipeline else rows * columns]
    images, labels = data.train_images[index], data.train_labels[index]
    shown = [plain(images, labels, index)[0]]
    if pipeline is not None:
        augmented = Prepare(data.mean, data.std, data.input_shape, cpu, False, pipeline)
        for epoch in range(columns - 1):
            augmented.start_epoch(epoch, len(data.train_labels))
            shown.append(augmented(images, labels, index)[0])
    pictures = plain.displayed(torch.stack(shown, dim=1).flatten(0, 1))
    blank = torch.full((rows * columns - len(pictures), *pictures.shape[1:]), 255, dtype=torch.uint8)
    return torch.cat([pictures, blank]).unflatten(0, (rows, columns))
