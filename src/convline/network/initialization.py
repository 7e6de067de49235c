"""Initialize weights by a named scheme.

Biases start at zero in every scheme but torch's and dirac's. Norms start as torch.nn makes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from convline.network.layers import Local2d


def _he(layer: nn.Module, weight: Tensor) -> None:
    if isinstance(layer, Local2d):  # torch.nn.init would take its positions for filters
        nn.init.normal_(weight, 0, math.sqrt(2 / (layer.in_channels * layer.kernel_size**2)))
    else:
        nn.init.kaiming_normal_(weight, nonlinearity="relu")


def _glorot(layer: nn.Module, weight: Tensor) -> None:
    if isinstance(layer, Local2d):
        # The fans of one position: the weights into one output value, and out of one input value.
        bound = math.sqrt(6 / ((layer.in_channels + layer.filters) * layer.kernel_size**2))
        nn.init.uniform_(weight, -bound, bound)
    else:
        nn.init.xavier_uniform_(weight)


def _keras(layer: nn.Module, weight: Tensor) -> None:
    if isinstance(layer, Local2d):
        # Keras takes the positions of a locally connected layer for the window of a convolution.
        bound = math.sqrt(6 / (weight.shape[0] * (weight.shape[1] + weight.shape[2])))
        nn.init.uniform_(weight, -bound, bound)
    else:
        _glorot(layer, weight)


@torch.no_grad()
def _dirac(layer: nn.Module, weight: Tensor) -> None:
    """Let channel i of each group pass to filter i; further filters start at zero.

    torch.nn.init.dirac_ moves the map where the window is even, since `same` padding is at the right and bottom first.
    Here the tap is the last position before the middle, so that the map is not moved.
    """
    if isinstance(layer, nn.Conv2d):
        weight.zero_()
        num_filters = layer.out_channels // layer.groups
        row, column = ((side - 1) // 2 for side in layer.kernel_size)
        for channel in range(min(num_filters, weight.shape[1])):
            weight[channel::num_filters, channel, row, column] = 1
    elif isinstance(layer, Local2d):
        weight.zero_()
        center = (layer.kernel_size - 1) // 2 * (layer.kernel_size + 1)
        for channel in range(min(layer.in_channels, layer.filters)):
            weight[:, channel * layer.kernel_size**2 + center, channel] = 1


INITS: dict[str, Callable[[nn.Module, Tensor], None] | None] = {
    "torch": None,  # uniform in ±1/√fan_in, biases too: torch.nn's own
    "he": _he,  # He, Zhang, Ren & Sun, "Delving Deep into Rectifiers", 2015, eq. 10
    "glorot": _glorot,  # Glorot & Bengio, "Understanding the difficulty of training deep ...", 2010, eq. 16
    "keras": _keras,  # Keras' defaults: Glorot's, with another count for locally connected layers
    "dirac": _dirac,  # windows start as the identity; fc as in torch
}


def initialize(network: nn.Module, init: str) -> None:
    """Initialize every conv, local and fc of a network.

    Args:
        network: changed in place.
        init: a key of `INITS`; "torch" leaves everything as torch.nn made it.
    """
    scheme = INITS[init]
    if scheme is None:
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | Local2d):
            scheme(layer, layer.weight)
            if layer.bias is not None and init != "dirac":
                nn.init.zeros_(layer.bias)
