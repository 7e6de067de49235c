"""He's and Glorot's schemes draw exactly what the first edition drew, whose fans were counted by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from convline.network.initialization import initialize
from convline.network.layers import Local2d


def fans(layer: nn.Module) -> tuple[float, float]:
    """The weights into one output value, and out of one input value."""
    match layer:
        case nn.Conv2d():
            window = math.prod(layer.kernel_size)
            return window * layer.in_channels / layer.groups, window * layer.out_channels
        case Local2d():
            return layer.in_channels * layer.kernel_size**2, layer.filters * layer.kernel_size**2
        case nn.Linear():
            return layer.in_features, layer.out_features
    raise AssertionError


def drawn_by_hand(layer: nn.Module, init: str, weight: Tensor) -> Tensor:
    """The weights that the formulas of the papers give."""
    fan_in, fan_out = fans(layer)
    if init == "he":
        return nn.init.normal_(torch.empty_like(weight), 0, math.sqrt(2 / fan_in))
    bound = math.sqrt(6 / (fan_in + fan_out))
    return nn.init.uniform_(torch.empty_like(weight), -bound, bound)


LAYERS = [
    nn.Conv2d(3, 6, 5),
    nn.Conv2d(6, 8, 3, groups=2),
    nn.Conv2d(64, 96, 7, groups=32),
    nn.Conv2d(1, 1, 1),
    nn.Conv2d(7, 5, 2, bias=False),
    nn.Linear(400, 120),
    nn.Linear(3, 2),
    Local2d(4, 5, 3, (6, 6)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("init", ["he", "glorot"])
def test_weights_are_those_of_the_formulas(layer: nn.Module, init: str) -> None:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    torch.manual_seed(6)
    expected = drawn_by_hand(layer, init, weight)
    torch.manual_seed(6)
    initialize(layer, init)
    assert torch.equal(weight, expected)
