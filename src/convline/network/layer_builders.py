"""Build the module of each layer of the pattern language, and compute the shape of its output.

`LAYER_BUILDERS` has one function per layer. Each takes the shape of the input and the layer's arguments, and returns
the module and the shape of its output. If the layer cannot take this shape, it raises `ShapeError`, whose text says
what to type instead; `build.py` adds the layer's location in the pattern.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from convline.formatting import shape_text
from convline.network.layers import (
    AvgPool2dSame,
    Conv2dSame,
    GaussPool2d,
    GlobalAvgPool2d,
    L2Pool2d,
    Local2d,
    MaxPool2dSame,
    PadShortcut,
    same_padding,
)
from convline.network.windows_and_macs import Shape

BuiltLayer = tuple[nn.Module | None, Shape]  # the module (None if it would change nothing), and its output's shape


class ShapeError(ValueError):
    """Report that a layer cannot take an input of this shape."""


def _map_shape(shape: Shape) -> tuple[int, int, int]:
    """Return channels, height and width of a feature map.

    Raises:
        ShapeError: the input is a vector.
    """
    if len(shape) != 3:
        raise ShapeError(
            f"needs a map C×H×W, but gets a vector of {shape_text(shape)}; move it before the first FC, FLATTEN or GAP"
        )
    channels, height, width = shape
    return channels, height, width


def _output_size(shape: Shape, kernel: int, stride: int, pad: int | str, dilation: int = 1) -> tuple[int, int]:
    """Return height and width of the output of a sliding window.

    Raises:
        ShapeError: the window is larger than the map.
    """
    _, *sides = _map_shape(shape)
    if pad == "same":
        return -(-sides[0] // stride), -(-sides[1] // stride)
    padding, window = (0 if pad == "valid" else int(pad)), dilation * (kernel - 1) + 1
    if min(sides) + 2 * padding < window:
        padded = f" ({shape_text(tuple(side + 2 * padding for side in sides))} with its padding)" if padding else ""
        raise ShapeError(
            f"needs a map of at least {window}×{window}, but gets {shape_text(shape)}{padded}; "
            "drop a POOL or a stride before it, give it pad=same, or use a larger input"
        )
    return (sides[0] + 2 * padding - window) // stride + 1, (sides[1] + 2 * padding - window) // stride + 1


def _conv(
    shape: Shape, filters: int, kernel: int, stride: int, pad: Any, groups: int, dilation: int, bias: bool
) -> BuiltLayer:
    channels, _, _ = _map_shape(shape)
    height, width = _output_size(shape, kernel, stride, pad, dilation)
    if channels % groups or filters % groups:
        raise ShapeError(
            f"groups={groups} must divide both the {channels} channels that come in and the {filters} filters"
        )
    # nn.Conv2d pads both sides equally; "same" needs an odd zero on one side, or zeros that depend on the input
    if pad == "same" and (stride > 1 or dilation * (kernel - 1) % 2):
        return Conv2dSame(channels, filters, kernel, stride, 0, dilation, groups, bias), (filters, height, width)
    padding = dilation * (kernel - 1) // 2 if pad == "same" else 0 if pad == "valid" else pad
    return nn.Conv2d(channels, filters, kernel, stride, padding, dilation, groups, bias), (filters, height, width)


def _local(shape: Shape, filters: int, kernel: int, stride: int, pad: Any, bias: bool) -> BuiltLayer:
    channels, *sides = _map_shape(shape)
    height, width = _output_size(shape, kernel, stride, pad)
    padding = 0 if pad == "valid" else pad
    pads = [same_padding(side, kernel, stride) if pad == "same" else (padding, padding) for side in sides]
    local = Local2d(channels, filters, kernel, (height, width), stride, (pads[0], pads[1]), bias)
    return local, (filters, height, width)


def _fc(shape: Shape, units: int, bias: bool) -> BuiltLayer:
    assert len(shape) == 1, "`build.py` inserts a flatten before an fc on a map"
    return nn.Linear(shape[0], units, bias), (units,)


def _pool(
    explicit: Callable[[int, int, int], nn.Module], same: Callable[[int, int, str], nn.Module]
) -> Callable[..., BuiltLayer]:
    """Return the builder of a pooling layer.

    Args:
        explicit: class for a number of zeros on each side, called with kernel, stride and that number.
        same: class for `pad=same`, called with kernel, stride and "same".
    """

    def build(shape: Shape, kernel: int, stride: int, pad: Any, **arguments: Any) -> BuiltLayer:
        padding = 0 if pad == "valid" else pad
        if padding != "same" and 2 * padding > kernel:
            raise ShapeError(f"pad={pad} is more than half its window of {kernel}×{kernel}; pad at most {kernel // 2}")
        size = _output_size(shape, kernel, stride, pad)
        if padding == "same":
            return same(kernel, stride, "same", **arguments), (shape[0], *size)
        return explicit(kernel, stride, padding, **arguments), (shape[0], *size)

    return build


def _avgpool(kernel: int, stride: int, padding: int) -> nn.Module:
    return nn.AvgPool2d(kernel, stride, padding, count_include_pad=False)


def _adaptive(pool: Callable[[int], nn.Module]) -> Callable[..., BuiltLayer]:
    """Return the builder of an adaptive pooling layer with a square output."""
    return lambda shape, size: (pool(size), (_map_shape(shape)[0], size, size))


def _same_shape(layer: Callable[..., nn.Module]) -> Callable[..., BuiltLayer]:
    """Return the builder of a layer that takes any shape and keeps it."""
    return lambda shape, **arguments: (layer(**arguments), shape)


def _bn(shape: Shape, eps: float, momentum: float) -> BuiltLayer:
    batch_norm = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return batch_norm(shape[0], eps, momentum), shape


def _groupnorm(shape: Shape, groups: int, eps: float) -> BuiltLayer:
    if shape[0] % groups:
        raise ShapeError(f"groups={groups} must divide the {shape[0]} channels that come in")
    return nn.GroupNorm(groups, shape[0], eps), shape


def _lrn(shape: Shape, size: int, alpha: float, beta: float, k: float) -> BuiltLayer:
    return nn.LocalResponseNorm(size, alpha, beta, k), _map_shape(shape)


def _enlarge(shape: Shape, size: int) -> BuiltLayer:
    channels, height, width = _map_shape(shape)
    if min(height, width) >= size:
        return None, shape
    target = max(height, size), max(width, size)
    return nn.Upsample(target, mode="bilinear", align_corners=False), (channels, *target)


def _shortcut(shape: Shape, filters: int, stride: int) -> BuiltLayer:
    channels, height, width = _map_shape(shape)
    if filters < channels:
        raise ShapeError(f"can only add channels, but {channels} come in and {filters} are to go out; use project")
    if (filters, stride) == (channels, 1):
        return None, shape
    return PadShortcut(filters - channels, stride), (filters, -(-height // stride), -(-width // stride))


LAYER_BUILDERS: dict[str, Callable[..., BuiltLayer]] = {
    "conv": _conv,
    "local": _local,
    "fc": _fc,
    "relu": _same_shape(nn.ReLU),  # not in place: hooks still see the values before the activation
    "leaky_relu": _same_shape(lambda slope: nn.LeakyReLU(slope)),
    "tanh": _same_shape(nn.Tanh),
    "sigmoid": _same_shape(nn.Sigmoid),
    "logsigmoid": _same_shape(nn.LogSigmoid),
    "gelu": _same_shape(nn.GELU),
    "silu": _same_shape(nn.SiLU),
    "softmax": _same_shape(lambda: nn.Softmax(dim=1)),
    "pool": _pool(nn.MaxPool2d, MaxPool2dSame),
    "avgpool": _pool(_avgpool, AvgPool2dSame),
    "l2pool": _pool(L2Pool2d, L2Pool2d),
    "gausspool": _pool(GaussPool2d, GaussPool2d),
    "gap": lambda shape: (GlobalAvgPool2d(), _map_shape(shape)[:1]),
    "adaptivepool": _adaptive(nn.AdaptiveAvgPool2d),
    "adaptivemaxpool": _adaptive(nn.AdaptiveMaxPool2d),
    "bn": _bn,
    "groupnorm": _groupnorm,
    "lrn": _lrn,
    "dropout": _same_shape(lambda rate: nn.Dropout(rate)),
    "flatten": lambda shape: (nn.Flatten(), (math.prod(shape),)),
    "identity": _same_shape(nn.Identity),
    "enlarge": _enlarge,
    "shortcut": _shortcut,
}
