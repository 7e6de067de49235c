"""Write validation images as points for TensorBoard's Projector tab, with the input of the last layer as vectors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convline.callbacks.after_test import AfterTest
from convline.data.samples import Samples
from convline.errors import UserError
from convline.figures.image_grid import as_tiles, fitted, make_grid
from convline.network.hooks import evaluating, layers
from convline.network.layers import Local2d
from convline.training.loaded_run import LoadedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "projector"  # in the run directory
MAX_SIDE = 64  # pixels of a sprite: all sprites are one image, which must not be larger than 8192×8192


class Projector(AfterTest):
    """Write a point for each of some validation images, with image, true class and predicted class.

    torch's `add_embedding` takes twice as long, and the Projector would label its points by the first column.

    Args:
        num_images: number of validation images; the first ones are used.
    """

    def __init__(self, num_images: int) -> None:
        self.num_images = num_images

    def after_test(self, run: LoadedRun, writer: SummaryWriter | None, step: int) -> None:
        """Write the files if TensorBoard is used."""
        if writer is not None:
            samples = run.samples("val", self.num_images)
            points, logits = embeddings(run.network, samples.images, run.data.eval_batch_size)
            predicted = run.label_names(logits > 0 if run.data.is_multilabel else logits.argmax(dim=1))
            write(run.run_dir, points, samples, predicted, run.label_names(samples.labels))


@torch.no_grad()
def embeddings(network: nn.Module, images: Tensor, batch_size: int) -> tuple[NDArray[np.float32], Tensor]:
    """Compute the inputs of the last layer with weights, N×features (maps are averaged), and the logits, N×classes.

    Raises:
        UserError: the network has no convolution and no dense layer.
    """
    weighted = [module for module in layers(network).values() if isinstance(module, nn.Linear | nn.Conv2d | Local2d)]
    if not weighted:
        raise UserError("the network has no convolution and no dense layer, so there is nothing before the last one")
    last_layer = weighted[-1]
    features: list[Tensor] = []

    def record(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        features.append(inputs[0].mean(dim=(2, 3)) if inputs[0].ndim == 4 else inputs[0])

    hook = last_layer.register_forward_pre_hook(record)
    try:
        with evaluating(network):
            logits = torch.cat([network.forward(batch) for batch in images.split(batch_size)])
    finally:
        hook.remove()
    return torch.cat(features).float().cpu().numpy(), logits.cpu()


def write(run_dir: Path, points: NDArray[np.float32], samples: Samples, predicted: list[str], true: list[str]) -> None:
    """Write points, labels and sprites into the folder `projector`, and the config file that names them."""
    from google.protobuf import text_format
    from PIL import Image
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    folder = run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / "points.tsv").write_text("".join("\t".join(map("{:.4g}".format, row)) + "\n" for row in points.tolist()))
    lines = [f"{'yes' if p == t else 'no'}\t{p}\t{t}" for p, t in zip(predicted, true, strict=True)]
    lines.insert(0, "correct\tpredicted\ttrue")  # the last column labels the points
    (folder / "labels.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tiles = sprites(as_tiles(samples.pictures.numpy()))
    columns = math.ceil(math.sqrt(len(tiles)))
    side = columns * tiles.shape[1]
    square = np.zeros((side, columns * tiles.shape[2], 3), np.uint8)  # the Projector expects as many rows as columns
    pixels = make_grid(tiles, columns, gap=0)
    square[: pixels.shape[0]] = pixels
    Image.fromarray(square).save(folder / "sprites.png")
    config = ProjectorConfig()
    embedding = config.embeddings.add(tensor_name="before the last layer", tensor_path=f"{FOLDER}/points.tsv")
    embedding.metadata_path = f"{FOLDER}/labels.tsv"
    embedding.sprite.image_path = f"{FOLDER}/sprites.png"
    embedding.sprite.single_image_dim.extend([tiles.shape[2], tiles.shape[1]])
    (run_dir / "projector_config.pbtxt").write_text(text_format.MessageToString(config))


def sprites(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink images, N×H×W×3, whose longer side has more than `MAX_SIDE` pixels."""
    num_tiles, height, width, _ = tiles.shape
    if max(height, width) <= MAX_SIDE:
        return tiles
    factor = MAX_SIDE / max(height, width)
    channels = tiles.transpose(0, 3, 1, 2).reshape(num_tiles * 3, height, width).astype(np.float32)
    shrunk = fitted(channels, round(height * factor), round(width * factor))
    return np.rint(shrunk).astype(np.uint8).reshape(num_tiles, 3, *shrunk.shape[1:]).transpose(0, 2, 3, 1)
