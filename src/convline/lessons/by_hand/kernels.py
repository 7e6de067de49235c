"""Define kernels designed by hand; the first layer of a trained ConvNet learns some of them too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convline.lessons.by_hand.correlation import Array


@dataclass(frozen=True)
class Kernel:
    """Describe a kernel that was designed by hand, for `correlate`.

    Args:
        weights: h×w.
        effect: where its response is high, or how it changes an image.
        source: publication that proposed it, or a textbook.
    """

    weights: Array
    effect: str
    source: str


_ROBERTS = 'Roberts, "Machine Perception of Three-Dimensional Solids", 1963'
_PREWITT = 'Prewitt, "Object Enhancement and Extraction", 1970'
_SOBEL = 'Sobel & Feldman, "A 3×3 Isotropic Gradient Operator for Image Processing", 1968'
_SCHARR = 'Scharr, "Optimale Operatoren in der Digitalen Bildverarbeitung", 2000'
_BOOK = 'Gonzalez & Woods, "Digital Image Processing", 3rd edition, 2008, '

KERNELS = {
    "identity": Kernel(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]), "the image itself", "by definition"),
    "box blur": Kernel(np.full((3, 3), 1 / 9), "the mean of the neighborhood", _BOOK + "section 3.5.1"),
    "binomial blur": Kernel(
        np.outer([1, 2, 1], [1, 2, 1]) / 16, "a mean that weighs near pixels more", _BOOK + "section 3.5.1"
    ),
    "sharpen": Kernel(
        np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]), "the image minus its Laplacian", _BOOK + "section 3.6.2"
    ),
    "Laplacian": Kernel(
        np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]), "darker than its neighbours", _BOOK + "section 3.6.2"
    ),
    "Laplacian, diagonals too": Kernel(
        np.array([[1, 1, 1], [1, -8, 1], [1, 1, 1]]), "darker than all eight neighbours", _BOOK + "section 3.6.2"
    ),
    "Roberts": Kernel(np.array([[-1, 0], [0, 1]]), "brighter toward the lower right", _ROBERTS),
    "Prewitt, right": Kernel(np.outer([1, 1, 1], [-1, 0, 1]), "brighter toward the right", _PREWITT),
    "Prewitt, down": Kernel(np.outer([-1, 0, 1], [1, 1, 1]), "brighter downwards", _PREWITT),
    "Sobel, right": Kernel(np.outer([1, 2, 1], [-1, 0, 1]), "brighter toward the right", _SOBEL),
    "Sobel, down": Kernel(np.outer([-1, 0, 1], [1, 2, 1]), "brighter downwards", _SOBEL),
    "Scharr, right": Kernel(np.outer([3, 10, 3], [-1, 0, 1]), "brighter toward the right", _SCHARR),
}
