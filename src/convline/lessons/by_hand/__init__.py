"""Compute convolutions in plain NumPy, with code that is short enough to check with pencil and paper.

Training uses none of this code. It is for reading, and tests compare it with torch.

```python
from convline.lessons.by_hand import correlate
correlate([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, -1]])  # [[-4, -4], [-4, -4]]
```
"""

from convline.lessons.by_hand.backward import gradients
from convline.lessons.by_hand.correlation import convolve, correlate, flipped, output_size
from convline.lessons.by_hand.kernels import KERNELS, Kernel
from convline.lessons.by_hand.matrix import toeplitz
from convline.lessons.by_hand.worked_examples import WorkedExample, worked_examples

__all__ = [
    "KERNELS",
    "Kernel",
    "WorkedExample",
    "convolve",
    "correlate",
    "flipped",
    "gradients",
    "output_size",
    "toeplitz",
    "worked_examples",
]
