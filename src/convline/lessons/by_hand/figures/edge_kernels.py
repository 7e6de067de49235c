"""What designed kernels make of a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convline.figures import canvas
from convline.figures.image_grid import enlarged, signed
from convline.lessons.by_hand.correlation import Array, correlate
from convline.lessons.by_hand.kernels import KERNELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("identity", "box blur", "sharpen", "Laplacian", "Sobel, right", "Sobel, down", "Prewitt, right", "Roberts")
SIDE, COLUMNS = 168, 4  # pixels of a picture at least; pictures in a row


def edge_kernels(image: ArrayLike | None = None, names: Sequence[str] = SHOWN) -> Figure:
    """The response of each kernel to a grey picture; middle grey is zero, white positive, black negative.

    Args:
        image: H×W with values of any range; None: `sample_picture()`.
        names: of `KERNELS`.
    Raises:
        KeyError: there is no kernel of a name.
    """
    picture = sample_picture() if image is None else np.asarray(image, float)
    picture = picture / (abs(picture).max() or 1)
    responses = {name: response(picture, KERNELS[name].weights) for name in names}
    side = enlarged(np.zeros((1, *picture.shape, 3), np.uint8), SIDE).shape[1:3]
    rows = math.ceil(len(responses) / COLUMNS)
    figure = canvas.blank(16 + COLUMNS * (side[1] + 16), 52 + rows * (side[0] + 46))
    canvas.write(figure, 16, 10, "Kernels that people have designed", canvas.LARGE, bold=True)
    said = "grey is zero, white positive, black negative, each picture on a scale of its own"
    canvas.write(figure, 16, 30, said, canvas.SMALL, canvas.FAINT)
    for place, (name, found) in enumerate(responses.items()):
        row, column = divmod(place, COLUMNS)
        left, top = 16 + column * (side[1] + 16), 56 + row * (side[0] + 46)
        canvas.write(figure, left, top, name)
        canvas.write(figure, left, top + 14, KERNELS[name].effect, canvas.SMALL, canvas.FAINT)
        grey = signed(found.astype(np.float32), float(abs(found).max()))
        canvas.paste(figure, enlarged(grey[None, :, :, None].repeat(3, axis=3), SIDE)[0], left, top + 30)
    return figure


def response(picture: Array, kernel: Array) -> Array:
    """Of the kernel to each pixel; beyond the edge the picture goes on as it ends, so that the edge is none."""
    sides = [(side // 2, (side - 1) // 2) for side in kernel.shape]
    return correlate(np.pad(picture, sides, mode="edge"), kernel)


def sample_picture(side: int = 84) -> NDArray[np.float64]:
    """A disc, a bar, a slanted line and a soft edge, on black: grey values from 0 to 1, side×side."""
    y, x = np.mgrid[:side, :side] / side
    picture = np.where(x > 0.6, (x - 0.6) * 1.5, 0.0)  # brighter and brighter towards the right
    picture[np.hypot(x - 0.3, y - 0.3) < 0.18] = 0.9
    picture[(abs(x - 0.75) < 0.09) & (y < 0.5)] = 1.0
    picture[(abs(y + 0.6 * x - 1.05) < 0.035) & (x < 0.9)] = 0.7
    return picture
