"""Which pixels a prediction rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from convline.figures import canvas
from convline.figures.image_grid import as_tiles, colored, enlarged
from convline.figures.predictions import caption
from convline.network.hooks import evaluating, layers
from convline.network.summary import summarize
from convline.training.loaded_run import Run, opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 84  # pixels of an image, at least
SHARE = 0.6  # of the heat map in the overlay, where it is hottest


def attribution(run: Run, num_images: int = 8) -> Figure:
    """Fixed validation images, with Grad-CAM and saliency for the predicted class below each.

    Grad-CAM colors the regions that speak for the class, as coarse as the last map of the network; saliency is bright
    where a small change of a pixel changes the class's logit. Without maps there is no Grad-CAM.

    Args:
        run: with a checkpoint.
        num_images: the first ones of different classes.
    Raises:
        UserError: the run's checkpoint or its data are missing.
    """
    run = opened(run)
    examples = run.one_of_each_class(num_images)
    with torch.no_grad(), evaluating(run.network):
        chances, guesses = run.network.forward(examples.images).softmax(dim=1).max(dim=1)
    tiles = enlarged(as_tiles(examples.pictures.numpy()), SIDE)
    rows = [(["image"], tiles)]
    if (name := last_map(run.network, examples.images.shape[1:])) is not None:
        heat = grad_cam(run.network, name, examples.images, guesses)
        rows.append((["Grad-CAM", f"at {name}"], overlaid(tiles, heat)))
    bright = saliency(run.network, examples.images, guesses)
    rows.append((["saliency"], enlarged(colored(bright, 0, 1, "inferno"), SIDE)))
    lines = [
        caption(run.classes, guess, label, chance)
        for guess, label, chance in zip(guesses.tolist(), examples.labels.tolist(), chances.tolist(), strict=True)
    ]
    return draw(rows, lines, (guesses.cpu() == examples.labels).tolist())


def last_map(network: nn.Module, input_shape: tuple[int, ...]) -> str | None:
    """The last layer, before any pooling of its own, that gives maps of more than one position; None without one."""
    maps = [
        layer.name
        for layer in summarize(network, input_shape).layers
        if len(layer.output_shape) == 3 and min(layer.output_shape[1:]) > 1 and "Pool" not in layer.kind
    ]
    names = layers(network)
    return next((name for name in reversed(maps) if not isinstance(names[name], nn.Dropout | nn.Upsample)), None)


def grad_cam(network: nn.Module, name: str, images: Tensor, classes: Tensor) -> NDArray[np.float32]:
    """Grad-CAM at a layer, N×H×W at the size of the images, each image's largest value 1 (or all 0).

    Args:
        network: images N×C×H×W to logits.
        name: of the layer, which gives maps.
        images: on the network's device.
        classes: whose logit is explained, one an image.

    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017.
    """
    from captum.attr import LayerGradCam

    with evaluating(network):
        found = LayerGradCam(network.forward, layers(network)[name]).attribute(images, classes, relu_attributions=True)
    sized = F.interpolate(found.detach().float(), images.shape[2:], mode="bilinear", align_corners=False)
    return _to_one(sized[:, 0])


def saliency(network: nn.Module, images: Tensor, classes: Tensor) -> NDArray[np.float32]:
    """Absolute gradient of a logit by the pixels, largest over the channels; N×H×W, each image's largest value 1.

    Args:
        network, images, classes: as for `grad_cam`.

    Source: Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", 2014, section 3.
    """
    from captum.attr import Saliency

    with evaluating(network):
        found = Saliency(network.forward).attribute(images.clone().requires_grad_(), classes, abs=True)
    return _to_one(found.detach().float().amax(dim=1))


def _to_one(values: Tensor) -> NDArray[np.float32]:
    """N×H×W divided by each image's largest value."""
    largest = values.amax(dim=(1, 2), keepdim=True)
    return (values / torch.where(largest > 0, largest, 1)).cpu().numpy()


def overlaid(tiles: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Heat maps in color over the images, the more opaque the hotter."""
    factor = tiles.shape[1] // heat.shape[1]
    large = heat.repeat(factor, axis=1).repeat(factor, axis=2)
    weight = SHARE * large[..., None] ** 0.5
    return np.rint(tiles * (1 - weight) + colored(large, 0, 1, "jet") * weight).astype(np.uint8)


def draw(rows: list[tuple[list[str], NDArray[np.uint8]]], lines: list[list[str]], right: list[bool]) -> Figure:
    """The figure: a column for each image."""
    height, width = rows[0][1].shape[1:3]
    text = 4 + 13 * max(map(len, lines))
    across = int(max(width, *(canvas.text_width(line, canvas.SMALL) for pair in lines for line in pair)) + 10)
    left, top = 30 + max(canvas.text_width(line) for names, _ in rows for line in names), 40 + text
    figure = canvas.blank(left + across * len(lines) + 6, top + len(rows) * (height + 8))
    canvas.write(figure, 12, 10, "What the predictions rest on", canvas.LARGE, bold=True)
    for place, pair in enumerate(lines):
        for number, said in enumerate(pair):
            color = canvas.CORRECT if right[place] else canvas.INCORRECT
            canvas.write(figure, left + place * across, 40 + 13 * number, said, canvas.SMALL, color)
    picture = np.full((len(rows) * (height + 8) - 8, across * len(lines), 3), 255, np.uint8)
    for number, (names, tiles) in enumerate(rows):
        y = number * (height + 8)
        for line, name in enumerate(names):
            canvas.write(figure, 12, top + y + height / 2 - 14 + 15 * line, name)
        for place, tile in enumerate(tiles):
            picture[y : y + height, place * across : place * across + width] = tile
    canvas.paste(figure, picture, left, top)
    return figure
