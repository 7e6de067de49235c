"""Initialize weights by a named scheme.

Every scheme except "torch" and "dirac" sets biases to zero. Norm layers keep the initialization of torch.nn.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from convline.network.layers import Local2d


def _he(layer: nn.Module, weight: Tensor) -> None:
    if isinstance(layer, Local2d):  # torch.nn.init would count its positions as filters
        nn.init.normal_(weight, 0, math.sqrt(2 / (layer.in_channels * layer.kernel_size**2)))
    else:
        nn.init.kaiming_normal_(weight, nonlinearity="relu")


def _glorot(layer: nn.Module, weight: Tensor) -> None:
    if isinstance(layer, Local2d):
        # fan_in and fan_out of one position, as for a convolution with the same kernel
        bound = math.sqrt(6 / ((layer.in_channels + layer.filters) * layer.kernel_size**2))
        nn.init.uniform_(weight, -bound, bound)
    else:
        nn.init.xavier_uniform_(weight)


def _keras(layer: nn.Module, weight: Tensor) -> None:
    if isinstance(layer, Local2d):
        # Keras computes the fans as for a convolution, with the positions of the layer as its kernel
        bound = math.sqrt(6 / (weight.shape[0] * (weight.shape[1] + weight.shape[2])))
        nn.init.uniform_(weight, -bound, bound)
    else:
        _glorot(layer, weight)


@torch.no_grad()
def _dirac(layer: nn.Module, weight: Tensor) -> None:
    """Set filter i of each group to the identity of channel i, and the remaining filters to zero.

    With an even kernel, `torch.nn.init.dirac_` would shift the map, since `same` padding adds its odd zero at the right
    and bottom. Here the 1 is at the last position before the kernel's middle, so that the map is not shifted.
    """
    if isinstance(layer, nn.Conv2d):
        weight.zero_()
        num_filters = layer.out_channels // layer.groups
        row, column = ((side - 1) // 2 for side in layer.kernel_size)
        for channel in range(min(num_filters, weight.shape[1])):
            weight[channel::num_filters, channel, row, column] = 1  # in every group at once
    elif isinstance(layer, Local2d):
        weight.zero_()
        center = (layer.kernel_size - 1) // 2 * (layer.kernel_size + 1)  # index of (row, row) in the flat kernel
        for channel in range(min(layer.in_channels, layer.filters)):
            weight[:, channel * layer.kernel_size**2 + center, channel] = 1  # positions × (channels·kernel²) × filters


INITS: dict[str, Callable[[nn.Module, Tensor], None] | None] = {
    "torch": None,  # the default of torch.nn: weights and biases uniform in ±1/√fan_in
    "he": _he,  # He, Zhang, Ren & Sun, "Delving Deep into Rectifiers", 2015, eq. 10
    "glorot": _glorot,  # Glorot & Bengio, "Understanding the difficulty of training deep ...", 2010, eq. 16
    "keras": _keras,  # the default of Keras: glorot, with other fans for locally connected layers
    "dirac": _dirac,  # conv and local start as the identity, fc as in torch
}


def initialize(network: nn.Module, init: str) -> None:
    """Initialize every conv, local and fc of a network.

    Args:
        network: changed in place.
        init: a key of `INITS`; "torch" changes nothing.
    """
    scheme = INITS[init]
    if scheme is None:
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | Local2d):
            scheme(layer, layer.weight)
            if layer.bias is not None and init != "dirac":
                nn.init.zeros_(layer.bias)
