"""What happens to predictions when images are moved by a few pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convline.figures import canvas
from convline.network.hooks import evaluating
from convline.network.layers import Pool2d
from convline.training.loaded_run import Run, TrainedRun, opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FARTHEST = 4  # pixels


@dataclass(frozen=True)
class Shifted:
    """Figures of moved images, by how far they were moved, each the mean of moving across and down.

    Args:
        distances: pixels; positive is right or down.
        accuracy: share of images that are still classified rightly.
        agreement: share of images whose prediction is that of the unmoved image.
    """

    distances: list[int]
    accuracy: list[float]
    agreement: list[float]


def translation(run: Run, *others: Run, split: str = "val", num_images: int = 2000) -> Figure:
    """The shift curve: accuracy and agreement of predictions when images are moved by -4 to 4 pixels.

    Args:
        run, others: with a checkpoint, a line each, named by their kind of pooling.
        split: "val" or "test".
        num_images: the first ones.
    Raises:
        UserError: a run's checkpoint or its data are missing.
    """
    every = [opened(each) for each in (run, *others)]
    curves = []
    for each in every:
        examples = each.examples(split, num_images)
        curves.append((label(each), shifted(each.network, examples.images, examples.labels)))
    return draw(curves, f"{len(examples.labels):,} {canvas.SPLIT_NAMES[split]} images, their edges repeated")


def label(run: TrainedRun) -> str:
    """What a run's line is called: `max pooling`, and the run's name."""
    kinds = sorted({kind for module in run.network.modules() if (kind := pooling(module))})
    return f"{' and '.join(kinds) or 'no'} pooling ({run.run_dir.name})"


def pooling(module: nn.Module) -> str:
    """The kind of pooling that a layer does; empty if it does none."""
    name = type(module).__name__
    if isinstance(module, Pool2d | nn.MaxPool2d | nn.AvgPool2d):
        return name.partition("Pool")[0].lower()
    return ""


@torch.no_grad()
def shifted(network: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 1000) -> Shifted:
    """Move images across and down, repeating their edges, and compare what the network says of them."""
    with evaluating(network):
        still = _guesses(network, images, batch_size)
        found = Shifted([], [], [])
        for distance in range(-FARTHEST, FARTHEST + 1):
            moves = [(distance, 0), (0, distance)]
            guesses = torch.cat([_guesses(network, moved(images, *move), batch_size) for move in moves])
            found.distances.append(distance)
            found.accuracy.append((guesses == labels.repeat(2)).double().mean().item())
            found.agreement.append((guesses == still.repeat(2)).double().mean().item())
    return found


def _guesses(network: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    return torch.cat([network.forward(batch).argmax(dim=1) for batch in images.split(batch_size)]).cpu()


def moved(images: Tensor, right: int, down: int) -> Tensor:
    """N×C×H×W moved by so many pixels; the edge that is left behind is repeated."""
    height, width = images.shape[2:]
    reach = max(abs(right), abs(down))
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    return padded[:, :, reach - down : reach - down + height, reach - right : reach - right + width]


def draw(curves: list[tuple[str, Shifted]], caption: str) -> Figure:
    """The figure: accuracy left, agreement right."""
    below = 20 + 18 * len(curves)
    figure = canvas.blank(760, 380 + below)
    canvas.write(figure, 12, 10, "Moved images", canvas.LARGE, bold=True)
    canvas.write(figure, 12, 30, caption, canvas.SMALL, canvas.FAINT)
    lowest = min(min(*curve.accuracy, *curve.agreement) for _, curve in curves)
    for place, (title, key) in enumerate((("accuracy", "accuracy"), ("same prediction as unmoved", "agreement"))):
        axes = canvas.axes_at(figure, 62 + 370 * place, 74, 310, 260)
        for number, (_, curve) in enumerate(curves):
            values = [100 * value for value in getattr(curve, key)]
            axes.plot(curve.distances, values, "o-", color=canvas.COLORS[number % len(canvas.COLORS)], markersize=4)
        axes.set_title(title, fontsize=canvas.NORMAL)
        axes.set_xlabel("moved by pixels", fontsize=canvas.NORMAL)
        axes.set_ylabel("% of images", fontsize=canvas.NORMAL)
        axes.set_ylim(max(0, 100 * lowest - 3), 101)
        axes.grid(color="#e5e7eb")
    for number, (name, _) in enumerate(curves):
        canvas.write(figure, 62, 384 + 18 * number, f"●  {name}", color=canvas.COLORS[number % len(canvas.COLORS)])
    return figure
