"""The projector: validation images as points, by what the layer before the last one makes of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convline.callbacks.after_test import AfterTest
from convline.data.samples import Examples
from convline.errors import UserError
from convline.figures.image_grid import as_tiles, fitted, make_grid
from convline.network.hooks import evaluating, layers
from convline.network.layers import Local2d
from convline.training.loaded_run import LoadedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "projector"  # in the run directory
LARGEST = 64  # pixels of a sprite's side: all of them are one image, which may not be larger than 8192


class Projector(AfterTest):
    """Fills the Projector tab with points that carry image, true and predicted class.

    torch's `add_embedding` takes twice the time, and lets the projector label the points by the first column.

    Args:
        num_images: the first validation images.
    """

    def __init__(self, num_images: int) -> None:
        self.num_images = num_images

    def after_test(self, run: LoadedRun, writer: SummaryWriter | None, step: int) -> None:
        """Write the files, where TensorBoard is on."""
        if writer is not None:
            examples = run.examples("val", self.num_images)
            points, logits = embeddings(run.network, examples.images, run.data.eval_batch_size)
            guesses = logits.argmax(dim=1).tolist()
            write(run.run_dir, points, examples, [run.classes[g] for g in guesses], run.classes)


@torch.no_grad()
def embeddings(network: nn.Module, images: Tensor, batch_size: int) -> tuple[NDArray[np.float32], Tensor]:
    """What comes into the last layer with weights, N×features (maps are averaged), and the logits, N×classes.

    Raises:
        UserError: there is no such layer.
    """
    weighted = [module for module in layers(network).values() if isinstance(module, nn.Linear | nn.Conv2d | Local2d)]
    if not weighted:
        raise UserError("the network has no convolution and no dense layer, so there is nothing before the last one")
    last = weighted[-1]
    kept: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        kept.append(inputs[0].mean(dim=(2, 3)) if inputs[0].ndim == 4 else inputs[0])

    hook = last.register_forward_pre_hook(note)
    try:
        with evaluating(network):
            logits = torch.cat([network.forward(batch) for batch in images.split(batch_size)])
    finally:
        hook.remove()
    return torch.cat(kept).float().cpu().numpy(), logits.cpu()


def write(
    run_dir: Path, points: NDArray[np.float32], examples: Examples, guesses: list[str], classes: tuple[str, ...]
) -> None:
    """Write points, labels, sprites, and the file that names them."""
    from google.protobuf import text_format
    from PIL import Image
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    folder = run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / "points.tsv").write_text("".join("\t".join(map("{:.4g}".format, row)) + "\n" for row in points.tolist()))
    names = [classes[label] for label in examples.labels.tolist()]
    lines = [f"{'yes' if name == guess else 'no'}\t{guess}\t{name}" for name, guess in zip(names, guesses, strict=True)]
    lines.insert(0, "right\tpredicted\ttrue")  # the last column labels the points
    (folder / "labels.tsv").write_text("\n".join(lines) + "\n")
    tiles = sprites(as_tiles(examples.pictures.numpy()))
    columns = math.ceil(math.sqrt(len(tiles)))
    side = columns * tiles.shape[1]
    square = np.zeros((side, columns * tiles.shape[2], 3), np.uint8)
    pixels = make_grid(tiles, columns, 1, gap=0)
    square[: pixels.shape[0]] = pixels
    Image.fromarray(square).save(folder / "sprites.png")
    config = ProjectorConfig()
    embedding = config.embeddings.add(tensor_name="before the last layer", tensor_path=f"{FOLDER}/points.tsv")
    embedding.metadata_path = f"{FOLDER}/labels.tsv"
    embedding.sprite.image_path = f"{FOLDER}/sprites.png"
    embedding.sprite.single_image_dim.extend([tiles.shape[2], tiles.shape[1]])
    (run_dir / "projector_config.pbtxt").write_text(text_format.MessageToString(config))


def sprites(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """N×H×W×3, made smaller if their longer side is more than `LARGEST`."""
    number, height, width, _ = tiles.shape
    if max(height, width) <= LARGEST:
        return tiles
    factor = LARGEST / max(height, width)
    flat = tiles.transpose(0, 3, 1, 2).reshape(number * 3, height, width).astype(np.float32)
    small = fitted(flat, round(height * factor), round(width * factor))
    return np.rint(small).astype(np.uint8).reshape(number, 3, *small.shape[1:]).transpose(0, 2, 3, 1)
