"""Convolution by hand: in plain NumPy, small enough to be checked with pencil and paper.

Training uses none of this. It is here to be read, and to be held against what torch computes.

```python
from convline.lessons.by_hand import correlate
correlate([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, -1]])  # [[-4, -4], [-4, -4]]
```
"""

from convline.lessons.by_hand.backward import gradients
from convline.lessons.by_hand.correlation import convolve, correlate, flipped, output_size
from convline.lessons.by_hand.kernels import KERNELS, Kernel
from convline.lessons.by_hand.matrix import toeplitz
from convline.lessons.by_hand.worked_examples import Example, examples

__all__ = [
    "KERNELS",
    "Example",
    "Kernel",
    "convolve",
    "correlate",
    "examples",
    "flipped",
    "gradients",
    "output_size",
    "toeplitz",
]
