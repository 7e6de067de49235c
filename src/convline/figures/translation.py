"""Draw translation robustness: the change of predictions when images are translated by a few pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convline.figures import canvas
from convline.figures.arguments import checked
from convline.network.hooks import evaluating
from convline.network.layers import Pool2d
from convline.training.loaded_run import LoadedRun, RunOrPath, load_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SHIFT = 4  # pixels


@dataclass(frozen=True)
class ShiftCurve:
    """Hold metrics of translated images by distance, each the mean of a horizontal and a vertical translation.

    Args:
        distances: distances in pixels; positive is right or down.
        accuracy: fraction of translated images that are classified correctly.
        agreement: fraction of translated images with the same prediction as the original image.
    """

    distances: list[int]
    accuracy: list[float]
    agreement: list[float]


@checked(num_images=100_000)
def translation(run: RunOrPath, *others: RunOrPath, split: str = "val", num_images: int = 2000) -> Figure:
    """Draw accuracy, and agreement with the original image, when images are translated by -4 to 4 pixels.

    Args:
        run, others: runs with a checkpoint; each has a curve, labeled by its kind of pooling.
        split: "val" or "test".
        num_images: number of images; the first ones.
    Raises:
        UserError: a run's checkpoint or its data are missing.
    """
    curves = []
    for loaded_run in map(load_run, (run, *others)):
        samples = loaded_run.samples(split, num_images)
        curves.append((label(loaded_run), shift_curve(loaded_run.network, samples.images, samples.labels)))
    return draw(curves, f"{len(samples.labels):,} {canvas.SPLIT_NAMES[split]} images, their edges repeated")


def label(run: LoadedRun) -> str:
    """Write the label of a run's curve: its kind of pooling and its name."""
    kinds = sorted({kind for module in run.network.modules() if (kind := pooling(module))})
    return f"{' and '.join(kinds) or 'no'} pooling ({run.run_dir.name})"


def pooling(module: nn.Module) -> str:
    """Return the kind of pooling of a layer, such as "max"; empty if it is no pooling layer."""
    name = type(module).__name__
    if isinstance(module, Pool2d | nn.MaxPool2d | nn.AvgPool2d):
        return name.partition("Pool")[0].lower()
    return ""


@torch.no_grad()
def shift_curve(network: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 1000) -> ShiftCurve:
    """Translate images horizontally and vertically, and evaluate the network on them.

    Args:
        network: maps images to logits.
        images: float32, N×C×H×W, on the network's device.
        labels: int64, N, on the CPU; of multi-label images float32, N×classes.
        batch_size: number of images in a forward pass.
    """
    with evaluating(network):
        is_multilabel = labels.ndim == 2
        unmoved = _predictions(network, images, batch_size, is_multilabel)
        curve = ShiftCurve([], [], [])
        for distance in range(-MAX_SHIFT, MAX_SHIFT + 1):
            translations = [(distance, 0), (0, distance)]
            moved = [translated(images, *translation) for translation in translations]
            predicted = torch.cat([_predictions(network, each, batch_size, is_multilabel) for each in moved])
            curve.distances.append(distance)
            # repeated along the images alone: multi-label predictions are N×classes
            curve.accuracy.append((predicted == torch.cat([labels, labels])).double().mean().item())
            curve.agreement.append((predicted == torch.cat([unmoved, unmoved])).double().mean().item())
    return curve


def _predictions(network: nn.Module, images: Tensor, batch_size: int, is_multilabel: bool) -> Tensor:
    logits = torch.cat([network.forward(batch) for batch in images.split(batch_size)]).cpu()
    return (logits > 0).float() if is_multilabel else logits.argmax(dim=1)


def translated(images: Tensor, right: int, down: int) -> Tensor:
    """Translate images, N×C×H×W, by `right` and `down` pixels, with replicate padding."""
    height, width = images.shape[2:]
    padding = max(abs(right), abs(down))
    padded = F.pad(images, (padding, padding, padding, padding), mode="replicate")
    return padded[:, :, padding - down : padding - down + height, padding - right : padding - right + width]


def draw(curves: list[tuple[str, ShiftCurve]], caption: str) -> Figure:
    """Draw accuracy on the left and agreement on the right."""
    legend_height = 20 + 18 * len(curves)
    figure = canvas.blank(760, 380 + legend_height)
    canvas.write(figure, 12, 10, "Translation: predictions of moved images", canvas.LARGE, bold=True)
    canvas.write(figure, 12, 30, caption, canvas.SMALL, canvas.FAINT)
    lowest = min(min(*curve.accuracy, *curve.agreement) for _, curve in curves)
    for column, (title, key) in enumerate((("accuracy", "accuracy"), ("same prediction as unmoved", "agreement"))):
        axes = canvas.axes_at(figure, 62 + 370 * column, 74, 310, 260)
        for index, (_, curve) in enumerate(curves):
            values = [100 * value for value in getattr(curve, key)]
            axes.plot(curve.distances, values, "o-", color=canvas.COLORS[index % len(canvas.COLORS)], markersize=4)
        axes.set_title(title, fontsize=canvas.NORMAL)
        axes.set_xlabel("moved by pixels", fontsize=canvas.NORMAL)
        axes.set_ylabel("% of images", fontsize=canvas.NORMAL)
        axes.set_ylim(max(0, 100 * lowest - 3), 101)
        axes.grid(color="#e5e7eb")
    for index, (name, _) in enumerate(curves):
        canvas.write(figure, 62, 384 + 18 * index, f"●  {name}", color=canvas.COLORS[index % len(canvas.COLORS)])
    return figure
