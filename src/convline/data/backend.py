"""Where the images lie while a network trains: on the device, or on the host behind workers."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor

MOST = 0.5  # of the memory, for the images; the rest is for network, gradients and activations


@dataclass(frozen=True)
class Backend:
    """A choice between the two loaders.

    Args:
        name: "resident" or "dataloader".
        reason: why "auto" chose that, for the user; empty if it goes without saying.
    """

    name: str
    reason: str = ""


def choose(wanted: str, images: Tensor, device: torch.device) -> Backend:
    """The backend for these images on that device.

    Args:
        wanted: "resident", "dataloader", or "auto": resident if the images take at most half of the memory, free memory
            of a GPU, all memory of the host.
        images: the official training set, on the host; may be memory-mapped.
        device: where the network is.
    """
    if wanted != "auto":
        return Backend(wanted)
    size, memory = images.nbytes, _memory(device)
    if size <= MOST * memory:
        return Backend("resident")
    return Backend(
        "dataloader",
        f"the images take {size / 2**30:.1f} GiB, more than half of the {memory / 2**30:.1f} GiB of memory of "
        f"{'the device' if device.type == 'cuda' else 'the machine'}: workers bring them (data.loader=dataloader)",
    )


def _memory(device: torch.device) -> int:
    """Bytes: what is free on a GPU, and all that the host has; torch tells nothing of other accelerators."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
