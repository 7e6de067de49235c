"""One unit + the shape that comes in -> its module + the shape that goes out.

`LAYER_BUILDERS` has one function per unit. Each checks that the unit can work on what comes in, and raises `ShapeError`
with what to type instead if not; `network.py` adds where in the pattern it stands.
"""

from __future__ import annotations

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

Shape = tuple[int, ...]  # C, H, W of a map, or the width of a vector; the batch is left out
BuiltLayer = tuple[nn.Module | None, Shape]  # None: nothing has to be done


class ShapeError(ValueError):
    """A unit that cannot work on what comes in."""


def _map(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ShapeError(
            f"needs a map C×H×W, but gets a vector of {shape_text(shape)}; move it before the first FC, FLATTEN or GAP"
        )
    channels, height, width = shape
    return channels, height, width


def _windows(shape: Shape, kernel: int, stride: int, pad: int | str, dilation: int = 1) -> tuple[int, int]:
    """Height and width of what comes out of a window that slides over a map."""
    _, *sides = _map(shape)
    if pad == "same":
        return -(-sides[0] // stride), -(-sides[1] // stride)
    border, reach = (0 if pad == "valid" else int(pad)), dilation * (kernel - 1) + 1
    if min(sides) + 2 * border < reach:
        padded = f" ({shape_text(tuple(side + 2 * border for side in sides))} with its padding)" if border else ""
        raise ShapeError(
            f"needs a map of at least {reach}×{reach}, but gets {shape_text(shape)}{padded}; "
            "drop a POOL or a stride before it, give it pad=same, or use a larger input"
        )
    return (sides[0] + 2 * border - reach) // stride + 1, (sides[1] + 2 * border - reach) // stride + 1


def _conv(
    shape: Shape, filters: int, kernel: int, stride: int, pad: Any, groups: int, dilation: int, bias: bool
) -> BuiltLayer:
    channels, height, width = *_map(shape)[:1], *_windows(shape, kernel, stride, pad, dilation)
    if channels % groups or filters % groups:
        raise ShapeError(
            f"groups={groups} must divide both the {channels} channels that come in and the {filters} filters"
        )
    if pad == "same" and (stride > 1 or dilation * (kernel - 1) % 2):
        return Conv2dSame(channels, filters, kernel, stride, 0, dilation, groups, bias), (filters, height, width)
    border = dilation * (kernel - 1) // 2 if pad == "same" else 0 if pad == "valid" else pad
    return nn.Conv2d(channels, filters, kernel, stride, border, dilation, groups, bias), (filters, height, width)


def _local(shape: Shape, filters: int, kernel: int, stride: int, pad: Any, bias: bool) -> BuiltLayer:
    channels, *sides = _map(shape)
    height, width = _windows(shape, kernel, stride, pad)
    border = 0 if pad == "valid" else pad
    pads = [same_padding(side, kernel, stride) if pad == "same" else (border, border) for side in sides]
    local = Local2d(channels, filters, kernel, (height, width), stride, (pads[0], pads[1]), bias)
    return local, (filters, height, width)


def _fc(shape: Shape, units: int, bias: bool) -> BuiltLayer:
    assert len(shape) == 1, "the network flattens maps before it comes here"
    return nn.Linear(shape[0], units, bias), (units,)


def _pool(
    plain: Callable[[int, int, int], nn.Module], same: Callable[[int, int, str], nn.Module]
) -> Callable[..., BuiltLayer]:
    """A pool with the module for a number of zeros on each side, and the one for `same`."""

    def make(shape: Shape, kernel: int, stride: int, pad: Any, **more: Any) -> BuiltLayer:
        border = 0 if pad == "valid" else pad
        if border != "same" and 2 * border > kernel:
            raise ShapeError(f"pad={pad} is more than half its window of {kernel}×{kernel}; pad at most {kernel // 2}")
        size = _windows(shape, kernel, stride, pad)
        module = same(kernel, stride, "same", **more) if border == "same" else plain(kernel, stride, border, **more)
        return module, (shape[0], *size)

    return make


def _avgpool(kernel: int, stride: int, border: int) -> nn.Module:
    return nn.AvgPool2d(kernel, stride, border, count_include_pad=False)


def _adaptive(kind: Callable[[int], nn.Module]) -> Callable[..., BuiltLayer]:
    return lambda shape, size: (kind(size), (_map(shape)[0], size, size))


def _plain(make: Callable[..., nn.Module]) -> Callable[..., BuiltLayer]:
    """A unit that works on anything and keeps its shape."""
    return lambda shape, **arguments: (make(**arguments), shape)


def _bn(shape: Shape, eps: float, momentum: float) -> BuiltLayer:
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return kind(shape[0], eps, momentum), shape


def _groupnorm(shape: Shape, groups: int, eps: float) -> BuiltLayer:
    if shape[0] % groups:
        raise ShapeError(f"groups={groups} must divide the {shape[0]} channels that come in")
    return nn.GroupNorm(groups, shape[0], eps), shape


def _lrn(shape: Shape, size: int, alpha: float, beta: float, k: float) -> BuiltLayer:
    return nn.LocalResponseNorm(size, alpha, beta, k), (*_map(shape),)


def _enlarge(shape: Shape, size: int) -> BuiltLayer:
    channels, height, width = _map(shape)
    if min(height, width) >= size:
        return None, shape
    target = max(height, size), max(width, size)
    return nn.Upsample(target, mode="bilinear", align_corners=False), (channels, *target)


def _shortcut(shape: Shape, filters: int, stride: int) -> BuiltLayer:
    channels, height, width = _map(shape)
    if filters < channels:
        raise ShapeError(f"can only add channels, but {channels} come in and {filters} are to go out; use project")
    if (filters, stride) == (channels, 1):
        return None, shape
    return PadShortcut(filters - channels, stride), (filters, -(-height // stride), -(-width // stride))


LAYER_BUILDERS: dict[str, Callable[..., BuiltLayer]] = {
    "conv": _conv,
    "local": _local,
    "fc": _fc,
    "relu": _plain(nn.ReLU),  # never in place: hooks and feature maps see what was really there
    "leaky_relu": _plain(lambda slope: nn.LeakyReLU(slope)),
    "tanh": _plain(nn.Tanh),
    "sigmoid": _plain(nn.Sigmoid),
    "logsigmoid": _plain(nn.LogSigmoid),
    "gelu": _plain(nn.GELU),
    "silu": _plain(nn.SiLU),
    "softmax": _plain(lambda: nn.Softmax(dim=1)),
    "pool": _pool(nn.MaxPool2d, MaxPool2dSame),
    "avgpool": _pool(_avgpool, AvgPool2dSame),
    "l2pool": _pool(L2Pool2d, L2Pool2d),
    "gausspool": _pool(GaussPool2d, GaussPool2d),
    "gap": lambda shape: (GlobalAvgPool2d(), _map(shape)[:1]),
    "adaptivepool": _adaptive(nn.AdaptiveAvgPool2d),
    "adaptivemaxpool": _adaptive(nn.AdaptiveMaxPool2d),
    "bn": _bn,
    "groupnorm": _groupnorm,
    "lrn": _lrn,
    "dropout": _plain(lambda rate: nn.Dropout(rate)),
    "flatten": lambda shape: (nn.Flatten(), (_numel(shape),)),
    "identity": _plain(nn.Identity),
    "enlarge": _enlarge,
    "shortcut": _shortcut,
}


def _numel(shape: Shape) -> int:
    number = 1
    for side in shape:
        number *= side
    return number
