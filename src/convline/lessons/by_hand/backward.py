"""The backward pass through a convolution, worked out by the chain rule.

output[f, r, s] = Σ over c, h, w of kernel[f, c, h, w] · padded[c, r·stride + h, s·stride + w]

So a weight meets the window's pixel at every place of the kernel, and a pixel meets a weight in every window that
contains it. Each product passes the upstream gradient on to one factor, multiplied by the other factor.
"""

import numpy as np
from numpy.typing import ArrayLike

from convline.lessons.by_hand.correlation import Array, windows, with_channels


def gradients(
    image: ArrayLike, kernel: ArrayLike, upstream: ArrayLike, stride: int = 1, padding: int = 0
) -> tuple[Array, Array]:
    """Gradients of a loss with respect to the image and to the kernel of `correlate`.

    Args:
        image, kernel, stride, padding: as of `correlate`.
        upstream: gradient of the loss with respect to the output, in the output's shape.
    Returns:
        Gradients in the shapes of image and kernel.
    Raises:
        ValueError: the shapes do not go together.
    """
    image_CHW, kernel_FChw = with_channels(image, kernel)
    found = windows(image_CHW, kernel_FChw.shape[2:], stride, padding)
    has_channels = np.ndim(image) == 3
    upstream_Frs = np.asarray(upstream) if has_channels else np.asarray(upstream)[None]
    expected = (len(kernel_FChw), *found.shape[1:3])
    if upstream_Frs.shape != expected:
        given, wanted = (shape if has_channels else shape[1:] for shape in (upstream_Frs.shape, expected))
        raise ValueError(f"upstream must have the output's shape {wanted}, but has {given}")
    of_image = _of_image(image_CHW, kernel_FChw, upstream_Frs, stride, padding)
    of_kernel = np.einsum("frs,crshw->fchw", upstream_Frs, found)
    return (of_image, of_kernel) if has_channels else (of_image[0], of_kernel[0, 0])


def _of_image(image: Array, kernel: Array, upstream: Array, stride: int, padding: int) -> Array:
    channels, height, width = image.shape
    rows, columns = upstream.shape[1:]
    padded = np.zeros((channels, height + 2 * padding, width + 2 * padding), np.result_type(image, kernel, upstream))
    for down, right in np.ndindex(*kernel.shape[2:]):
        # at each of its places the weight (down, right) lies on these pixels
        under = padded[:, down : down + rows * stride : stride, right : right + columns * stride : stride]
        under += np.einsum("fc,frs->crs", kernel[:, :, down, right], upstream)
    return padded[:, padding : padding + height, padding : padding + width]
