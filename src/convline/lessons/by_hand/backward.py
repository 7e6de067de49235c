"""Compute the backward pass of a convolution by the chain rule.

output[f, r, s] = Σ over c, h, w of kernel[f, c, h, w] · padded[c, r·stride + h, s·stride + w]

Every product of this sum has two factors, a weight and a pixel. The gradient of each factor is the upstream gradient
times the other factor, summed over all products in which the factor occurs: a weight occurs once per output position,
and a pixel once per window that contains it.
"""

import numpy as np
from numpy.typing import ArrayLike

from convline.lessons.by_hand.correlation import Array, sliding_windows, with_channels


def gradients(
    image: ArrayLike, kernel: ArrayLike, upstream: ArrayLike, stride: int = 1, padding: int = 0
) -> tuple[Array, Array]:
    """Compute the gradients of a loss with respect to the image and the kernel of `correlate`.

    Args:
        image, kernel, stride, padding: as for `correlate`.
        upstream: gradient of the loss with respect to the output, with the shape of the output.
    Returns:
        The two gradients, with the shapes of image and kernel.
    Raises:
        ValueError: the shapes do not go together.
    """
    image_CHW, kernel_FChw = with_channels(image, kernel)
    windows = sliding_windows(image_CHW, kernel_FChw.shape[2:], stride, padding)
    has_channels = np.ndim(image) == 3
    upstream_Frs = np.asarray(upstream) if has_channels else np.asarray(upstream)[None]
    expected = (len(kernel_FChw), *windows.shape[1:3])
    if upstream_Frs.shape != expected:
        given_shape, expected_shape = (shape if has_channels else shape[1:] for shape in (upstream_Frs.shape, expected))
        raise ValueError(f"upstream must have the output's shape {expected_shape}, but has {given_shape}")
    image_gradient = _image_gradient(image_CHW, kernel_FChw, upstream_Frs, stride, padding)
    kernel_gradient = np.einsum("frs,crshw->fchw", upstream_Frs, windows)
    if has_channels:
        return image_gradient, kernel_gradient
    return image_gradient[0], kernel_gradient[0, 0]


def _image_gradient(image: Array, kernel: Array, upstream: Array, stride: int, padding: int) -> Array:
    channels, height, width = image.shape
    rows, columns = upstream.shape[1:]
    padded = np.zeros((channels, height + 2 * padding, width + 2 * padding), np.result_type(image, kernel, upstream))
    for down, right in np.ndindex(*kernel.shape[2:]):
        # the pixels that the weight (down, right) multiplies, one for each output position; a view into `padded`
        pixels = padded[:, down : down + rows * stride : stride, right : right + columns * stride : stride]
        pixels += np.einsum("fc,frs->crs", kernel[:, :, down, right], upstream)
    return padded[:, padding : padding + height, padding : padding + width]
