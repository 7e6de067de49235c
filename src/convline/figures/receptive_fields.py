"""What the layers see of an image: in theory, and in practice."""

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
from convline.figures.image_grid import colored, enlarged
from convline.network.hooks import evaluating, layers
from convline.network.receptive_field import ReceptiveField
from convline.network.summary import receptive_fields as theoretical_fields
from convline.training.loaded_run import Run, opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LAYERS = 12
SIDE, COLUMNS = 150, 4  # pixels of a panel, at least; panels in a row
COUNTED = 1 - 0.9545  # of the largest gradient: below that a pixel is outside of the effective field


@dataclass(frozen=True)
class Field:
    """What the middle position of a layer sees.

    Args:
        top, left, height, width: of the theoretical window, in pixels of the input; may reach beyond it.
        gradient: height × width of the input: mean of the gradient's absolute value.
    """

    top: float
    left: float
    height: float
    width: float
    gradient: NDArray[np.float64]

    @property
    def effective(self) -> float:
        """Root of the number of pixels with more than 4.55 % of the largest gradient.

        Source: Luo, Li, Urtasun & Zemel, "Understanding the Effective Receptive Field in Deep Convolutional Neural
        Networks", 2016, section 3.
        """
        return math.sqrt(float((self.gradient > COUNTED * self.gradient.max()).sum())) if self.gradient.any() else 0.0


def receptive_fields(run: Run, num_images: int = 32) -> Figure:
    """The receptive field of the middle position of each layer: its theoretical window, and the gradient within it.

    Args:
        run: with a checkpoint.
        num_images: validation images over which the gradient is averaged.
    Raises:
        UserError: the run's checkpoint or its data are missing, or the network has no maps.
    """
    run = opened(run)
    found = fields(run.network, run.examples("val", num_images).images)
    if not found:
        raise UserError("the network has no layer with a window, so there are no receptive fields to draw")
    return draw(found)


def fields(network: nn.Module, images: Tensor) -> dict[str, Field]:
    """The fields of the layers that give maps and see more than the layer before; by name, in forward order."""
    views = theoretical_fields(network, images.shape[1:])
    kept: dict[str, Tensor] = {}
    images = images.clone().requires_grad_()
    wider = _wider(views)

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            kept[name] = output

    hooks = [m.register_forward_hook(partial(note, name)) for name, m in layers(network).items() if name in wider]
    try:
        with evaluating(network), torch.enable_grad():
            network.forward(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: _field(wider[name], output, images) for name, output in kept.items()}


def _wider(views: dict[str, ReceptiveField | None]) -> dict[str, ReceptiveField]:
    """The layers at which the field grows; if they are many, as many as are drawn, evenly, the last one among them."""
    found: dict[str, ReceptiveField] = {}
    widest = 1.0
    for name, view in views.items():
        if view is not None and max(view.size) > widest:
            found[name], widest = view, max(view.size)
    names = list(found)
    if len(names) > MAX_LAYERS:
        names = [names[round(place)] for place in np.linspace(0, len(names) - 1, MAX_LAYERS)]
    return {name: found[name] for name in names}


def _field(view: ReceptiveField, output: Tensor, images: Tensor) -> Field:
    row, column = output.shape[2] // 2, output.shape[3] // 2
    (gradient,) = torch.autograd.grad(output[:, :, row, column].sum(), images, retain_graph=True)
    top, left = (at + place * step for at, place, step in zip(view.start, (row, column), view.jump, strict=True))
    return Field(top, left, *view.size, gradient.double().abs().sum(dim=1).mean(dim=0).cpu().numpy())


def draw(found: dict[str, Field]) -> Figure:
    """The figure: for each layer the gradient (bright is high, by its root) with the theoretical window."""
    from matplotlib.patches import Rectangle

    rows, columns = -(-len(found) // COLUMNS), min(COLUMNS, len(found))
    height, width = enlarged(np.zeros((1, *next(iter(found.values())).gradient.shape, 3), np.uint8), SIDE).shape[1:3]
    told = {name: f"theoretical {_whole(field)}, effective {field.effective:.1f}" for name, field in found.items()}
    longest = max(max(canvas.text_width(name), canvas.text_width(told[name], canvas.SMALL)) for name in found)
    across = max(width, longest) + 26
    figure = canvas.blank(max(14 + columns * across, 560), 40 + rows * (height + 62))
    canvas.write(figure, 12, 10, "Receptive field of each layer's middle position", canvas.LARGE, bold=True)
    said = "green: theoretical window; bright: pixels that change the output (root of the gradient)"
    canvas.write(figure, 12, 30, said, canvas.SMALL, canvas.FAINT)
    for place, (name, field) in enumerate(found.items()):
        row, column = divmod(place, columns)
        left, top = 14 + column * across, 54 + row * (height + 62)
        canvas.write(figure, left, top, name)
        canvas.write(figure, left, top + 15, told[name], canvas.SMALL, canvas.FAINT)
        axes = canvas.axes_at(figure, left, top + 34, width, height)
        axes.set_axis_off()
        brightness = np.sqrt(field.gradient / (field.gradient.max() or 1))
        axes.imshow(colored(brightness, 0, 1, "magma"), interpolation="nearest", aspect="auto")
        corner = field.left - 0.5, field.top - 0.5  # a pixel's middle has whole coordinates
        axes.add_patch(Rectangle(corner, field.width, field.height, fill=False, edgecolor="#2dd4a7", linewidth=1.6))
        axes.set(xlim=(-0.5, field.gradient.shape[1] - 0.5), ylim=(field.gradient.shape[0] - 0.5, -0.5))
    return figure


def _whole(field: Field) -> int:
    """The longer side of the theoretical window, in whole pixels."""
    return math.ceil(max(field.height, field.width) - 1e-6)
