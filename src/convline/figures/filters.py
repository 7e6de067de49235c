"""Draw the first layer's weights as images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convline.errors import UserError
from convline.figures import canvas
from convline.figures.image_grid import make_grid, signed
from convline.network.hooks import layers
from convline.training.loaded_run import RunOrPath, load_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_FILTERS = 64
SIDE, WIDTH = 36, 150  # pixels of a filter and of a grid, at least


def filters(run: RunOrPath) -> Figure:
    """Draw the first layer's filters before training, after training, and their difference; middle gray is zero.

    For color images the three channels are red, green and blue. A dense first layer has one image for each unit.

    Args:
        run: a run with a checkpoint.
    Raises:
        UserError: the run's checkpoint is missing, or its first layer has no filters.
    """
    run = load_run(run)
    name, after = first_weights(run.network, tuple(run.cfg.data.input_shape))
    before = first_weights(run.initial_network, tuple(run.cfg.data.input_shape))[1]
    return draw(name, before, after)


def first_weights(network: nn.Module, input_shape: tuple[int, ...]) -> tuple[str, NDArray[np.float32]]:
    """Find the first layer with weights; return its name and its weights, filters×C×H×W.

    Raises:
        UserError: this layer is neither a convolution nor a dense layer on the pixels.
    """
    for name, module in layers(network).items():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and isinstance(module, nn.Conv2d):
            return name, weight.detach().cpu().numpy()
        if isinstance(module, nn.Linear) and module.in_features == math.prod(input_shape):
            return name, module.weight.detach().cpu().reshape(-1, *input_shape).numpy()
        if isinstance(weight, Tensor):
            raise UserError(
                f"the first layer, {name}, is a {type(module).__name__} and has no filters that can be drawn"
            )
    raise UserError("the network has no weights")


def tiles(weights: NDArray[np.float32], limit: float) -> NDArray[np.uint8]:
    """Turn filters×C×H×W into filters×H×W×3: three channels are red, green, blue; else their mean is gray."""
    if weights.shape[1] != 3:
        weights = weights.mean(axis=1, keepdims=True).repeat(3, axis=1)
    return signed(weights, limit).transpose(0, 2, 3, 1)


def draw(name: str, before: NDArray[np.float32], after: NDArray[np.float32]) -> Figure:
    """Draw three grids of filters, the first two on one scale."""
    num_filters = len(after)
    before, after = before[:MAX_FILTERS], after[:MAX_FILTERS]
    columns = math.ceil(math.sqrt(len(after)))
    limit, change = float(max(abs(before).max(), abs(after).max())), float(abs(after - before).max())
    panels = [
        ("before training", before, limit),
        ("after training", after, limit),
        ("change", after - before, change),
    ]
    grids = [
        (title, make_grid(tiles(values, scale), columns, max(SIDE, WIDTH // columns)), scale)
        for title, values, scale in panels
    ]
    height, width = grids[0][1].shape[:2]
    across = max(width, WIDTH) + 24
    figure = canvas.blank(max(3 * across, 420), height + 82)
    count = f"the first {MAX_FILTERS} of {num_filters}" if num_filters > MAX_FILTERS else f"{num_filters}"
    size = f"{after.shape[3]}×{after.shape[2]}×{after.shape[1]}"
    canvas.write(figure, 12, 10, f"Filters of {name}: {count}, each {size}", canvas.LARGE, bold=True)
    for index, (title, pixels, scale) in enumerate(grids):
        canvas.write(figure, 12 + index * across, 36, title)
        canvas.write(
            figure, 12 + index * across, 51, f"black -{scale:.2g}, white {scale:.2g}", canvas.SMALL, canvas.FAINT
        )
        canvas.paste(figure, pixels, 12 + index * across, 70)
    return figure
