"""Draw the responses of designed kernels to an image."""

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

DEFAULT_NAMES = (
    "identity",
    "box blur",
    "sharpen",
    "Laplacian",
    "Sobel, right",
    "Sobel, down",
    "Prewitt, right",
    "Roberts",
)
SIDE, NUM_COLUMNS = 168, 4  # least pixels of an image; images in a row


def edge_kernels(image: ArrayLike | None = None, names: Sequence[str] = DEFAULT_NAMES) -> Figure:
    """Draw the response of each kernel to a gray image; medium gray is zero, white positive, black negative.

    Args:
        image: H×W, with values of any range; None: `sample_image()`.
        names: keys of `KERNELS`.
    Raises:
        KeyError: there is no kernel with such a name.
    """
    gray = sample_image() if image is None else np.asarray(image, float)
    gray = gray / (abs(gray).max() or 1)
    responses = {name: response(gray, KERNELS[name].weights) for name in names}
    side = enlarged(np.zeros((1, *gray.shape, 3), np.uint8), SIDE).shape[1:3]
    rows = math.ceil(len(responses) / NUM_COLUMNS)
    figure = canvas.blank(16 + NUM_COLUMNS * (side[1] + 16), 52 + rows * (side[0] + 46))
    canvas.write(figure, 16, 10, "Kernels that people have designed", canvas.LARGE, bold=True)
    subtitle = "gray is zero, white positive, black negative, each image on a scale of its own"
    canvas.write(figure, 16, 30, subtitle, canvas.SMALL, canvas.FAINT)
    for index, (name, values) in enumerate(responses.items()):
        row, column = divmod(index, NUM_COLUMNS)
        left, top = 16 + column * (side[1] + 16), 56 + row * (side[0] + 46)
        canvas.write(figure, left, top, name)
        canvas.write(figure, left, top + 14, KERNELS[name].effect, canvas.SMALL, canvas.FAINT)
        pixels = signed(values.astype(np.float32), float(abs(values).max()))
        canvas.paste(figure, enlarged(pixels[None, :, :, None].repeat(3, axis=3), SIDE)[0], left, top + 30)
    return figure


def response(image: Array, kernel: Array) -> Array:
    """Compute the filter response at every pixel, with replicate padding.

    Zero padding would make the border of the image an edge, which the kernels would find.
    """
    sides = [(side // 2, (side - 1) // 2) for side in kernel.shape]
    return correlate(np.pad(image, sides, mode="edge"), kernel)


def sample_image(side: int = 84) -> NDArray[np.float64]:
    """Draw a disc, a bar, a slanted line and a soft edge on black: gray values from 0 to 1, side×side."""
    y, x = np.mgrid[:side, :side] / side
    image = np.where(x > 0.6, (x - 0.6) * 1.5, 0.0)  # brighter toward the right
    image[np.hypot(x - 0.3, y - 0.3) < 0.18] = 0.9
    image[(abs(x - 0.75) < 0.09) & (y < 0.5)] = 1.0
    image[(abs(y + 0.6 * x - 1.05) < 0.035) & (x < 0.9)] = 0.7
    return image
