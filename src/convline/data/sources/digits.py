"""scikit-learn's embedded digits."""

import gzip
import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from convline.data.sources.base import DIGITS, Images, Part


def digits(part: Part) -> Images:
    """scikit-learn's embedded digits, 1×8×8, grey levels 0…16 spread over 0…255.

    There is no official split; every fifth image of each class is the test set.
    """
    # Read from the package's file, found without importing the package: that brings pandas, and 0.2 s at start-up.
    spec = find_spec("sklearn")
    assert spec is not None, "scikit-learn is a dependency"
    packed = (Path(str(spec.origin)).parent / "datasets" / "data" / "digits.csv.gz").read_bytes()
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.int64)
    labels = torch.from_numpy(table[:, -1].copy())
    images = torch.from_numpy(np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8)).view(-1, 1, 8, 8)
    rank_in_class = torch.zeros_like(labels)
    for digit in range(10):
        where = labels == digit
        rank_in_class[where] = torch.arange(int(where.sum()))
    chosen = (rank_in_class % 5 == 4) == (part == "test")
    return Images(images[chosen], labels[chosen], DIGITS, mirrored_alike=False)
