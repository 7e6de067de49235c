"""Draw the pixels on which a prediction depends: Grad-CAM and saliency, computed by Captum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from convline.figures import canvas
from convline.figures.arguments import checked
from convline.figures.fonts import drawable_names
from convline.figures.image_grid import as_tiles, colored, enlarged, make_grid
from convline.figures.predictions import LONG, caption
from convline.network.hooks import evaluating, layers
from convline.network.summary import summarize
from convline.training.loaded_run import RunOrPath, load_run
from convline.training.metrics import probabilities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 84  # pixels of an image, at least
MAX_OPACITY = 0.6  # of the heat map over the image


@checked(num_images=100)
def attribution(run: RunOrPath, num_images: int = 8) -> Figure:
    """Draw a few fixed validation images, with Grad-CAM and saliency for the predicted class below each.

    Grad-CAM colors the regions that raise the class's logit, at the resolution of the network's last map; saliency is
    bright where a small change of a pixel changes the logit. A network without maps has no Grad-CAM.

    Args:
        run: a run with a checkpoint.
        num_images: number of images; the first ones of different classes.
    Raises:
        UserError: the run's checkpoint or its data are missing.
    """
    run = load_run(run)
    samples = run.one_sample_per_class(num_images)
    is_multilabel = samples.labels.ndim == 2
    with torch.no_grad(), evaluating(run.network):
        probability, predicted = probabilities(run.network.forward(samples.images), is_multilabel).max(dim=1)
    tiles = enlarged(as_tiles(samples.pictures.numpy()), SIDE)
    rows = [(["image"], tiles)]
    if (name := last_map(run.network, samples.images.shape[1:])) is not None:
        heat = grad_cam(run.network, name, samples.images, predicted)
        rows.append((["Grad-CAM", f"at {name}"], overlaid(tiles, heat)))
    bright = saliency(run.network, samples.images, predicted)
    rows.append((["saliency"], enlarged(colored(bright, 0, 1, "inferno"), SIDE)))
    predicted, classes = predicted.cpu(), drawable_names(run.classes)
    names = zip(
        run.label_names(predicted, classes),
        run.label_names(samples.labels, classes),
        probability.tolist(),
        strict=True,
    )
    longest = max(map(len, classes)) if not is_multilabel else LONG
    captions = [caption(*values, longest) for values in names]
    # of several labels the most probable one is explained
    is_correct = (
        samples.labels.gather(1, predicted[:, None])[:, 0] > 0 if is_multilabel else predicted == samples.labels
    )
    return draw(rows, captions, is_correct.tolist())


def last_map(network: nn.Module, input_shape: tuple[int, ...]) -> str | None:
    """Find the last layer, except pooling, whose maps have more than one position; return its name, or None."""
    maps = [
        layer.name
        for layer in summarize(network, input_shape).layers
        if len(layer.output_shape) == 3 and min(layer.output_shape[1:]) > 1 and "Pool" not in layer.kind
    ]
    modules = layers(network)
    return next((name for name in reversed(maps) if not isinstance(modules[name], nn.Dropout | nn.Upsample)), None)


def grad_cam(network: nn.Module, name: str, images: Tensor, classes: Tensor) -> NDArray[np.float32]:
    """Compute Grad-CAM at a layer: N×H×W at the size of the images, each image's largest value 1 (or all 0).

    Args:
        network: maps images N×C×H×W to logits.
        name: name of a layer that outputs feature maps.
        images: on the network's device.
        classes: the class of each image whose logit is explained; int64, N.

    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017.
    """
    from captum.attr import LayerGradCam

    with evaluating(network):
        method = LayerGradCam(network.forward, layers(network)[name])
        heat = method.attribute(images, classes, relu_attributions=True).detach().float()
    return _scaled(F.interpolate(heat, images.shape[2:], mode="bilinear", align_corners=False)[:, 0])


def saliency(network: nn.Module, images: Tensor, classes: Tensor) -> NDArray[np.float32]:
    """Compute the absolute gradient of a logit by each pixel, as the maximum over channels; N×H×W, scaled to 1.

    Args:
        network, images, classes: as for `grad_cam`.

    Source: Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", 2014, section 3.
    """
    from captum.attr import Saliency

    with evaluating(network):
        gradient = Saliency(network.forward).attribute(images.clone().requires_grad_(), classes, abs=True)
    return _scaled(gradient.detach().float().amax(dim=1))


def _scaled(values: Tensor) -> NDArray[np.float32]:
    """Divide each image of N×H×W by its largest value; an image of zeros stays zero."""
    largest = values.amax(dim=(1, 2), keepdim=True)
    return (values / torch.where(largest > 0, largest, 1)).cpu().numpy()


def overlaid(tiles: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Blend colored heatmaps over the images; higher values are more opaque."""
    factor = tiles.shape[1] // heat.shape[1]
    enlarged_heat = heat.repeat(factor, axis=1).repeat(factor, axis=2)
    opacity = MAX_OPACITY * enlarged_heat[..., None] ** 0.5
    return np.rint(tiles * (1 - opacity) + colored(enlarged_heat, 0, 1, "jet") * opacity).astype(np.uint8)


def draw(rows: list[tuple[list[str], NDArray[np.uint8]]], captions: list[list[str]], is_correct: list[bool]) -> Figure:
    """Draw a column for each image.

    Args:
        rows: for each row, the lines of its label and its tiles, N×H×W×3.
        captions: lines above each column.
        is_correct: whether each caption is blue; else it is red.
    """
    height, width = rows[0][1].shape[1:3]
    caption_width = max(canvas.text_width(line, canvas.SMALL) for lines in captions for line in lines)
    cell_width, cell_height = int(max(width, caption_width) + 10), height + 8
    left = 30 + max(canvas.text_width(line) for names, _ in rows for line in names)
    top = 44 + 13 * max(map(len, captions))
    title = "Attribution: the pixels that the predictions depend on"
    title_width = canvas.text_width(title, canvas.LARGE, bold=True)
    width_needed = max(left + cell_width * len(captions) + 6, 24 + title_width)
    figure = canvas.blank(width_needed, top + cell_height * len(rows))
    canvas.write(figure, 12, 10, title, canvas.LARGE, bold=True)
    for column, lines in enumerate(captions):
        color = canvas.CORRECT if is_correct[column] else canvas.INCORRECT
        for index, line in enumerate(lines):
            canvas.write(figure, left + column * cell_width, 40 + 13 * index, line, canvas.SMALL, color)
    for row, (names, tiles) in enumerate(rows):
        y = top + row * cell_height
        for index, name in enumerate(names):
            canvas.write(figure, 12, y + height / 2 - 14 + 15 * index, name)
        canvas.paste(figure, make_grid(tiles, len(tiles), gap=(0, cell_width - width)), left, y)
    return figure
