"""Draw feature visualization: images that maximize the response of single filters, by gradient ascent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from convline.data.samples import denormalize, pixel_limits
from convline.errors import UserError
from convline.figures import canvas
from convline.figures.arguments import checked
from convline.figures.image_grid import as_tiles, make_grid
from convline.network.hooks import evaluating, layers
from convline.training.loaded_run import RunOrPath, load_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 64  # pixels of an image, at least
MAX_LAYERS = 6
STEPS, RATE = 96, 0.12  # of gradient ascent; length of a step: root mean square over the pixels of a normalized image
MAX_SHIFT = 2  # pixels by which the image is moved at random before each step
DECAY = 0.01  # share by which the image moves toward gray in each step


@checked(num_filters=100)
def feature_visualization(run: RunOrPath, num_filters: int = 10, seed: int = 0) -> Figure:
    """Draw images that maximize the response of single filters, by gradient ascent from noise: a row for each layer.

    The last row shows the classes. It takes seconds for a small network and minutes for a large one.

    Args:
        run: a run with a checkpoint.
        num_filters: number of filters of each layer; the first ones.
        seed: seed of the noise; torch's global random state is not changed.
    Raises:
        UserError: the run's checkpoint or its data are missing, or the network has no convolution and no dense layer.
    """
    run = load_run(run)
    modules = {name: m for name, m in layers(run.network).items() if isinstance(m, nn.Conv2d | nn.Linear)}
    names = list(modules)
    if not names:
        raise UserError("the network has no convolution and no dense layer, so there are no filters to ask")
    if len(names) > MAX_LAYERS:
        names = [names[round(index)] for index in np.linspace(0, len(names) - 1, MAX_LAYERS)]
    generator = torch.Generator().manual_seed(seed)
    low, high = pixel_limits(run.data)
    rows = []
    for name in names:
        start = (low + high) / 2 + 0.1 * torch.randn(num_filters, *run.data.input_shape, generator=generator)
        start = start[: len(modules[name].weight)]
        images = maximize(run.network, modules[name], start, (low, high), generator)
        rows.append((name, as_tiles(denormalize(run.data, images).numpy())))
    return draw(rows, num_filters)


def maximize(
    network: nn.Module,
    layer: nn.Module,
    images: Tensor,
    limits: tuple[Tensor, Tensor],
    generator: torch.Generator,
    max_shift: int = MAX_SHIFT,
) -> Tensor:
    """Maximize the response of a layer's first filters by gradient ascent: image k for filter k, averaged over its map.

    Steps have constant length, and the objective is the output after ELU: values below zero hardly count, as
    after ReLU, but they have a gradient. Before each step the image is shifted a little, which prevents patterns that
    depend on single pixels.

    Args:
        network: maps images to logits.
        layer: a convolution or dense layer of the network.
        images: initial images; float32, N×C×H×W, on the CPU.
        limits: lowest and highest value of a pixel, C×1×1 each.
        generator: generator of the random shifts.
        max_shift: pixels by which the images are moved before each step, at most, in each direction.
    Returns:
        N×C×H×W, on the CPU.

    Source: Erhan, Bengio, Courville & Vincent, "Visualizing Higher-Layer Features of a Deep Network", 2009; the shifts
    from Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017.
    """
    outputs: list[Tensor] = []

    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs.append(output)

    device = next(layer.parameters()).device
    low, high = (limit.to(device) for limit in limits)
    images, index = images.to(device), torch.arange(len(images), device=device)
    hook = layer.register_forward_hook(record)
    try:
        with evaluating(network):
            for _ in range(STEPS):
                down, right = torch.randint(-max_shift, max_shift + 1, (2,), generator=generator).tolist()
                images = images.roll((down, right), (2, 3)).requires_grad_()
                with torch.enable_grad():
                    network.forward(images)
                    # element (k, k) of images × filters; the images do not depend on each other, so one sum serves all
                    activation = F.elu(outputs.pop()[index, index].reshape(len(index), -1)).mean(dim=1)
                    (gradient,) = torch.autograd.grad(activation.sum(), images)
                length = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
                images = images.detach() + RATE * gradient / length
                images = images + DECAY * ((low + high) / 2 - images)
                images = torch.minimum(torch.maximum(images, low), high).roll((-down, -right), (2, 3))
    finally:
        hook.remove()
    return images.cpu()


def draw(rows: list[tuple[str, NDArray[np.uint8]]], columns: int) -> Figure:
    """Draw a row for each layer.

    Args:
        rows: name of each layer, and its images as tiles, N×H×W×3.
        columns: number of columns in the grid of a row.
    """
    grids = [(name, make_grid(tiles, columns, SIDE, 4)) for name, tiles in rows]
    left = 30 + max(canvas.text_width(name) for name, _ in rows)
    height = grids[0][1].shape[0] + 10
    width = max(pixels.shape[1] for _, pixels in grids)
    title = "Feature visualization: the first filters of each layer"
    title_width = canvas.text_width(title, canvas.LARGE, bold=True)
    figure = canvas.blank(max(left + width + 12, 24 + title_width), 62 + height * len(grids))
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    canvas.write(
        figure, 12, 30, "images that excite them most, found by gradient ascent from noise", canvas.SMALL, canvas.FAINT
    )
    for index, (name, pixels) in enumerate(grids):
        top = 56 + index * height
        canvas.write(figure, 12, top + height / 2 - 14, name)
        canvas.paste(figure, pixels, left, top)
    return figure
