"""Write a convolution as a product with a matrix."""

import numpy as np
from numpy.typing import ArrayLike

from convline.lessons.by_hand.correlation import Array, as_numbers, output_size


def toeplitz(kernel: ArrayLike, input_shape: tuple[int, int], stride: int = 1, padding: int = 0) -> Array:
    """Build the matrix with `matrix @ image.ravel() == correlate(image, kernel, stride, padding).ravel()`.

    A dense layer would have to learn this matrix to do the same: one row per output, mostly zeros, and the same few
    weights in every row. With stride 1 and no padding it consists of Toeplitz blocks (constant along diagonals).

    Args:
        kernel: h×w.
        input_shape: H and W of the image, in pixels.
        stride: pixels from one window to the next.
        padding: rows and columns of zeros around the image; they have no column in the matrix.
    Returns:
        (rows · columns of the output) × (H · W).
    Raises:
        ValueError: the kernel is not a matrix, or does not fit into the padded image.

    Source: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.1.
    """
    kernel = as_numbers(kernel)
    if kernel.ndim != 2:
        raise ValueError(f"the kernel must be a matrix h×w, but has {kernel.ndim} dimensions")
    height, width = input_shape
    rows = output_size(height, kernel.shape[0], stride, padding)
    columns = output_size(width, kernel.shape[1], stride, padding)
    matrix = np.zeros((rows, columns, height, width), kernel.dtype)
    for row, column in np.ndindex(rows, columns):
        for (down, right), weight in np.ndenumerate(kernel):
            y, x = row * stride + down - padding, column * stride + right - padding
            # a weight that lies on the padding multiplies zero and has no column
            if 0 <= y < height and 0 <= x < width:
                matrix[row, column, y, x] = weight
    return matrix.reshape(rows * columns, height * width)
