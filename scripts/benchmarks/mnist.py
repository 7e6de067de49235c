"""Which MNIST the benchmarks run on: the real one if it is there, else made-up images like it; never a download."""

import os
import struct
from pathlib import Path

import torch
from torch import Tensor

SHAPE = (1, 28, 28)
NUM_TRAIN, NUM_TEST = 60_000, 10_000


def folder() -> Path | None:
    """Where the real files lie: below `$CONVLINE_DATA`, else below `data`."""
    root = Path(os.environ.get("CONVLINE_DATA", "data"))
    return root if (root / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file() else None


def settings() -> tuple[str, list[str]]:
    """The data in words, and the settings that choose them."""
    if folder() is not None:
        return "MNIST", ["data=mnist"]
    shape = ",".join(map(str, SHAPE))
    sizes = [f"data.source.num_train={NUM_TRAIN}", f"data.source.num_test={NUM_TEST}", "data.batch_size=128"]
    return "synthetic images of MNIST's shape", ["data=synthetic", f"data.input_shape=[{shape}]", *sizes]


def write_idx(root: Path, images_NHW: Tensor, labels: Tensor) -> None:
    """Write a training set where torchvision's MNIST looks for it.

    Args:
        root: torchvision's `root`.
        images_NHW: uint8.
        labels: below 256.
    """
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    parts = {"images-idx3": images_NHW, "labels-idx1": labels}
    for name, values in parts.items():
        head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
        content = head + values.to(torch.uint8).numpy().tobytes()
        for split in ("train", "t10k"):  # torchvision asks for all four files
            (raw / f"{split}-{name}-ubyte").write_bytes(content)
