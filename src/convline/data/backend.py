"""Where the images lie while a network trains: on the device, or on the host behind workers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convline.memory import memory_limit

MOST = 0.5  # of the memory, for the images; the rest is for network, gradients and activations


@dataclass(frozen=True)
class Backend:
    """A choice between the two loaders.

    Args:
        name: "resident" or "dataloader".
        reason: why, for the user.
    """

    name: str
    reason: str


def choose(wanted: str, images: Tensor, device: torch.device) -> Backend:
    """The backend for these images on that device.

    Args:
        wanted: "resident", "dataloader", or "auto": resident if the images take at most half of the memory, free memory
            of a GPU, all memory of the host.
        images: the official training set, on the host; may be memory-mapped.
        device: where the network is.
    """
    size = f"{images.nbytes / 2**20:,.1f} MiB of images"
    if wanted == "auto" and images.nbytes > MOST * _memory(device):
        free = f"{_memory(device) / 2**20:,.0f} MiB {'free on the device' if device.type == 'cuda' else 'of memory'}"
        return Backend(
            "dataloader", f"{size}, more than half of the {free}: workers bring them (data.loader=dataloader)"
        )
    if wanted == "dataloader":
        return Backend("dataloader", f"{size}, brought by workers")
    return Backend("resident", f"{size}, resident on {device}")


def _memory(device: torch.device) -> int:
    """Return bytes: the free memory of a GPU, else the limit of the host; torch cannot say of other accelerators."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return memory_limit()
