"""Draw the receptive field of each layer: its theoretical window, and the gradient of the pixels within it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convline.errors import UserError
from convline.figures import canvas
from convline.figures.arguments import checked
from convline.figures.image_grid import colored, enlarged
from convline.network.hooks import evaluating, layers
from convline.network.receptive_field import ReceptiveField
from convline.network.receptive_field import receptive_fields as theoretical_fields
from convline.training.loaded_run import RunOrPath, load_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LAYERS = 12
SIDE, COLUMNS = 150, 4  # pixels of a panel, at least; panels in a row
THRESHOLD = 1 - 0.9545  # share of the largest gradient above which a pixel is in the effective field


@dataclass(frozen=True)
class Field:
    """Hold the receptive field of the middle position of a layer.

    Args:
        top, left, height, width: theoretical window in pixels of the input; it may extend beyond the image.
        gradient: absolute gradient of each pixel, mean over the images; height × width of the input.
    """

    top: float
    left: float
    height: float
    width: float
    gradient: NDArray[np.float64]

    @property
    def effective(self) -> float:
        """Compute the side of the effective field: root of the number of pixels above 4.55 % of the largest gradient.

        Source: Luo, Li, Urtasun & Zemel, "Understanding the Effective Receptive Field in Deep Convolutional Neural
        Networks", 2016, section 3.
        """
        return math.sqrt(float((self.gradient > THRESHOLD * self.gradient.max()).sum())) if self.gradient.any() else 0.0


@checked(num_images=10_000)
def receptive_fields(run: RunOrPath, num_images: int = 32) -> Figure:
    """Draw the receptive field of each layer's middle position: the theoretical window, and the gradient within it.

    Args:
        run: a run with a checkpoint.
        num_images: number of validation images over which the gradient is averaged.
    Raises:
        UserError: the run's checkpoint or its data are missing, or the network has no maps.
    """
    run = load_run(run)
    fields = compute_fields(run.network, run.samples("val", num_images).images)
    if not fields:
        raise UserError("the network has no layer with a window, so there are no receptive fields to draw")
    return draw(fields)


def compute_fields(network: nn.Module, images: Tensor) -> dict[str, Field]:
    """Compute the receptive fields of at most `MAX_LAYERS` layers at which the theoretical field grows.

    Args:
        network: maps images to logits.
        images: float32, N×C×H×W, on the network's device.
    Returns:
        Fields by layer name, in forward order, without layers that do not output maps.
    """
    growing: dict[str, ReceptiveField] = {}
    largest = 1.0
    for name, theoretical in theoretical_fields(network, images.shape[1:]).items():
        if theoretical is not None and max(theoretical.size) > largest:
            growing[name], largest = theoretical, max(theoretical.size)
    names = list(growing)
    if len(names) > MAX_LAYERS:
        names = [names[round(index)] for index in np.linspace(0, len(names) - 1, MAX_LAYERS)]
    # not `hooks.outputs`, which computes no gradients
    maps: dict[str, Tensor] = {}
    images = images.clone().requires_grad_()

    def record(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            maps[name] = output

    hooks = [m.register_forward_hook(partial(record, name)) for name, m in layers(network).items() if name in names]
    try:
        with evaluating(network), torch.enable_grad():
            network.forward(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: _field(growing[name], output, images) for name, output in maps.items()}


def _field(theoretical: ReceptiveField, output: Tensor, images: Tensor) -> Field:
    middle = output.shape[2] // 2, output.shape[3] // 2
    # images do not depend on each other in evaluation mode, so the gradient of their sum is each one's own
    (gradient,) = torch.autograd.grad(output[:, :, *middle].sum(), images, retain_graph=True)
    top, left = (
        start + position * jump
        for start, position, jump in zip(theoretical.start, middle, theoretical.jump, strict=True)
    )
    return Field(top, left, *theoretical.size, gradient.double().abs().sum(dim=1).mean(dim=0).cpu().numpy())


def draw(fields: dict[str, Field]) -> Figure:
    """Draw a panel for each layer: the gradient (bright is high, by its square root) and the theoretical window."""
    from matplotlib.patches import Rectangle

    num_rows, num_columns = -(-len(fields) // COLUMNS), min(COLUMNS, len(fields))
    height, width = enlarged(np.zeros((1, *next(iter(fields.values())).gradient.shape, 3), np.uint8), SIDE).shape[1:3]
    sizes = {}
    for name, field in fields.items():
        theoretical = math.ceil(max(field.height, field.width) - 1e-6)  # 1e-6: fields of resized images are fractions
        sizes[name] = f"theoretical {theoretical}, effective {field.effective:.1f}"
    longest = max(max(canvas.text_width(name), canvas.text_width(sizes[name], canvas.SMALL)) for name in fields)
    cell_width, cell_height = max(width, longest) + 26, height + 62
    figure = canvas.blank(max(14 + num_columns * cell_width, 560), 40 + num_rows * cell_height)
    canvas.write(figure, 12, 10, "Receptive field of each layer's middle position", canvas.LARGE, bold=True)
    legend = "green: theoretical window; bright: pixels that change the output (root of the gradient)"
    canvas.write(figure, 12, 30, legend, canvas.SMALL, canvas.FAINT)
    for index, (name, field) in enumerate(fields.items()):
        row, column = divmod(index, num_columns)
        left, top = 14 + column * cell_width, 54 + row * cell_height
        canvas.write(figure, left, top, name)
        canvas.write(figure, left, top + 15, sizes[name], canvas.SMALL, canvas.FAINT)
        axes = canvas.axes_at(figure, left, top + 34, width, height)
        axes.set_axis_off()
        brightness = np.sqrt(field.gradient / (field.gradient.max() or 1))
        axes.imshow(colored(brightness, 0, 1, "magma"), interpolation="nearest", aspect="auto")
        corner = field.left - 0.5, field.top - 0.5  # imshow puts the middle of a pixel at integer coordinates
        axes.add_patch(Rectangle(corner, field.width, field.height, fill=False, edgecolor="#2dd4a7", linewidth=1.6))
        axes.set(xlim=(-0.5, field.gradient.shape[1] - 0.5), ylim=(field.gradient.shape[0] - 0.5, -0.5))
    return figure
