"""Write a picture of training images after augmentation, once for each run."""

from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from convline.data.datamodule import datamodule_of
from convline.data.samples import preview
from convline.figures.image_grid import as_tiles, make_grid

MIN_SIDE = 48  # pixels of an image's shorter side


class TrainingImages(Callback):
    """Write `pictures/training_images.png`, and the same into TensorBoard's Images tab, before the first step.

    With augmentation, a row shows one image: as stored, then as in the first epochs. Without augmentation all images
    are different. The picture does not use the loader of the training, whose random state stays unchanged.

    Args:
        rows, columns: of the picture's grid.
    """

    def __init__(self, rows: int = 8, columns: int = 8) -> None:
        self.rows, self.columns = rows, columns

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the picture, unless the run is resumed and has it already."""
        data = datamodule_of(trainer)
        path = Path(trainer.default_root_dir) / "pictures" / "training_images.png"
        if not trainer.is_global_zero or path.exists():
            return
        from PIL import Image

        tiles = as_tiles(preview(data, self.rows, self.columns).flatten(0, 1).numpy())
        height, width = tiles.shape[1:3]
        factor = -(-MIN_SIDE // min(height, width))
        picture = make_grid(tiles, self.columns, side=factor * max(height, width))
        picture = np.pad(picture, ((1, 1), (1, 1), (0, 0)), constant_values=255)

        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("training images", picture, 0, dataformats="HWC")
