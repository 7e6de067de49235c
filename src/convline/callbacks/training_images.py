"""A picture of the training images as the network gets them, once a run."""

from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from convline.data.datamodule import DataModule
from convline.data.preview import preview

SMALLEST = 48  # pixels of an image's shorter side in the picture, at least


class TrainingImages(Callback):
    """Writes `pictures/training_images.png`, and the same into TensorBoard's images tab, before the first step.

    With augmentation a row is one image: first as it is stored, then as the first epochs show it. Without, every image
    is another one. The loader of the training is not touched.
    """

    def __init__(self, rows: int = 8, columns: int = 8) -> None:
        self.rows, self.columns = rows, columns

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw it, but not again when a run goes on."""
        data: DataModule = trainer.datamodule  # type: ignore[attr-defined]
        path = Path(trainer.default_root_dir) / "pictures" / "training_images.png"
        if not trainer.is_global_zero or path.exists():
            return
        picture = _grid(preview(data, self.rows, self.columns))
        from PIL import Image

        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("training images", picture, 0)


def _grid(images: Tensor) -> Tensor:
    """uint8 rows×columns×C×H×W -> 3×height×width, enlarged by a whole factor, with white lines between."""
    factor = max(1, -(-SMALLEST // min(images.shape[3:])))
    large = images.repeat_interleave(factor, 3).repeat_interleave(factor, 4)
    if large.shape[2] != 3:  # gray, or channels that are no colors
        large = large[:, :, :1].expand(-1, -1, 3, -1, -1)
    framed = torch.nn.functional.pad(large, (1, 1, 1, 1), value=255)
    rows, columns, channels, height, width = framed.shape
    return framed.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
