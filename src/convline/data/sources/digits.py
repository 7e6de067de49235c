"""Read the embedded digits: 1,797 handwritten digits in the package, which need no download.

`digits.csv.gz` is the test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, UCI Machine
Learning Repository, 1998, https://doi.org/10.24432/C50P49), licensed CC BY 4.0: 64 gray levels and a label in each row.
It is the file that scikit-learn ships, unchanged; a test compares the two.
"""

import gzip
import io
from importlib.resources import files

import numpy as np
import torch

from convline.data.sources.base import DIGITS, Images, SplitName


def digits(split_name: SplitName) -> Images:
    """Return the embedded digits, 1×8×8, with gray levels 0…16 spread over 0…255.

    There is no official split: every fifth image of each class is the test set.
    """
    packed = files("convline.data.sources").joinpath("digits.csv.gz").read_bytes()
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.int64)
    labels = torch.from_numpy(table[:, -1].copy())
    images = torch.from_numpy(np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8)).view(-1, 1, 8, 8)
    rank_in_class = torch.zeros_like(labels)
    for digit in range(10):
        is_digit = labels == digit
        rank_in_class[is_digit] = torch.arange(int(is_digit.sum()))
    chosen = (rank_in_class % 5 == 4) == (split_name == "test")
    return Images(images[chosen], labels[chosen], DIGITS, flip_invariant=False)
