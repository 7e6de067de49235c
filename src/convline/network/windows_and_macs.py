"""Compute a layer's multiply-accumulates, the window that it slides over its input, and its kind in a diagram.

Each of Convline's own layers is a `MeasuredLayer` and implements these three itself; the table `TORCH_LAYERS` has them
for the classes of torch.nn. Summary, receptive field and diagram call only `macs`, `window` and `kind` below, so that a
new layer needs no change in them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

Shape = tuple[int, ...]  # C, H, W of a map, or the width of a vector; the batch is left out
Pair = tuple[float, float]  # height, width


@dataclass(frozen=True)
class Window:
    """Describe the window of input positions from which a layer computes one output position.

    Args:
        size: height and width in positions of the input, including dilation.
        stride: input positions between two neighboring windows; below 1 if the layer enlarges the map.
        padding: distance by which the first window begins above and left of the map; negative inside of the map.
    """

    size: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)


class MeasuredLayer(ABC):
    """Measure a layer (a mixin): a class that leaves one of the answers out cannot be built."""

    kind = "other"  # a key of `convline.network.diagram.COLORS`

    @abstractmethod
    def window(self, input_shape: Shape, output_shape: Shape) -> Window | None:
        """Return the window of the input that one output position is computed from; None if it is unknown.

        A layer that works on each pixel alone has a window of 1×1.

        Args:
            input_shape, output_shape: without the batch.
        """

    @abstractmethod
    def macs(self, input_shape: Shape, output_shape: Shape) -> int:
        """Count the multiply-accumulates for one image; an addition alone counts as none."""


def whole_map(input_shape: Shape) -> Window:
    """Return a window that covers the whole map."""
    return Window((input_shape[1], input_shape[2]))


def conv2d_macs(conv: nn.Conv2d, output_shape: Shape) -> int:
    """Count the multiply-accumulates of a convolution for one image."""
    return math.prod(output_shape) * math.prod(conv.kernel_size) * conv.in_channels // conv.groups


def as_pair(value: Any) -> tuple[int, int]:
    """Return (height, width) of an argument that torch.nn takes as one number or as two."""
    return (value[0], value[1]) if isinstance(value, tuple) else (value, value)


def dilated(module: Any) -> tuple[int, int]:
    """Return height and width of a module's kernel, including its dilation."""
    kernel, dilation = as_pair(module.kernel_size), as_pair(getattr(module, "dilation", 1))
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def _sliding(module: Any, input_shape: Shape, output_shape: Shape) -> Window:
    """Return the window of a convolution or a pool."""
    size = dilated(module)
    if module.padding == "same":  # nn.Conv2d's own, for stride 1: an odd zero is right and below
        padding = (size[0] - 1) // 2, (size[1] - 1) // 2
    else:
        padding = (0, 0) if module.padding == "valid" else as_pair(module.padding)
    return Window(size, as_pair(module.stride), padding)


def _adaptive(module: Any, input_shape: Shape, output_shape: Shape) -> Window:
    """Return the largest of the windows of an adaptive pool, whose sizes may differ by one position or two."""
    sizes, strides = [], []
    for incoming, outgoing in zip(input_shape[1:], output_shape[1:], strict=True):
        # Window i covers the positions from floor(i·in/out) to ceil((i+1)·in/out).
        sizes.append(max(-(-(i + 1) * incoming // outgoing) - i * incoming // outgoing for i in range(outgoing)))
        strides.append(incoming / outgoing)
    return Window((sizes[0], sizes[1]), (strides[0], strides[1]))


def _upsampling(module: Any, input_shape: Shape, output_shape: Shape) -> Window | None:
    """Return the window around the center of an output position, from which `nn.Upsample` computes it."""
    side = {"nearest": 1, "nearest-exact": 1, "bilinear": 2, "bicubic": 4}.get(module.mode)
    if side is None:
        return None
    down, right = input_shape[1] / output_shape[1], input_shape[2] / output_shape[2]
    return Window((side, side), (down, right), ((side - down) / 2, (side - right) / 2))


def _flatten(module: Any, input_shape: Shape, output_shape: Shape) -> Window:
    return whole_map(input_shape) if len(input_shape) == 3 else Window()


def _linear(module: Any, input_shape: Shape, output_shape: Shape) -> Window | None:
    return Window() if len(input_shape) == 1 else None  # on a map, nn.Linear combines the columns of each row


def _no_macs(module: Any, output_shape: Shape) -> int:
    return 0


@dataclass(frozen=True)
class _TorchLayer:
    """Hold kind, window and multiply-accumulates for a class of torch.nn, as functions of the module and its shapes."""

    kind: str
    window: Callable[[Any, Shape, Shape], Window | None]
    macs: Callable[[Any, Shape], int] = _no_macs


TORCH_LAYERS: dict[type[nn.Module], _TorchLayer] = {
    nn.Conv2d: _TorchLayer("conv", _sliding, conv2d_macs),
    nn.Linear: _TorchLayer("dense", _linear, lambda fc, output_shape: math.prod(output_shape) * fc.in_features),
    nn.MaxPool2d: _TorchLayer("pool", _sliding),
    nn.AvgPool2d: _TorchLayer("pool", _sliding),
    nn.AdaptiveAvgPool2d: _TorchLayer("pool", _adaptive),
    nn.AdaptiveMaxPool2d: _TorchLayer("pool", _adaptive),
    nn.Flatten: _TorchLayer("resize", _flatten),
    nn.Upsample: _TorchLayer("resize", _upsampling),
}
_POINTWISE = ("activation", "batchnorm", "dropout", "normalization", "instancenorm")  # modules of torch.nn.modules


def is_pointwise(module: nn.Module) -> bool:
    """Return whether a layer of torch.nn computes each position from the same position alone, and keeps the shape.

    Norm layers count as pointwise, although they average over positions: receptive fields usually ignore that.
    """
    package, _, file = type(module).__module__.rpartition(".")
    in_table = package == "torch.nn.modules" and file in _POINTWISE and not isinstance(module, nn.GLU)  # GLU halves it
    return (in_table and not list(module.children())) or isinstance(module, nn.Identity)


def _torch_layer(module: nn.Module) -> _TorchLayer | None:
    return next((TORCH_LAYERS[base] for base in type(module).__mro__ if base in TORCH_LAYERS), None)


def window(module: nn.Module, input_shape: Shape, output_shape: Shape) -> Window | None:
    """Return the window of a layer's input that one output position is computed from; None if it is unknown.

    Args:
        module: a layer without children.
        input_shape, output_shape: without the batch.
    """
    if isinstance(module, MeasuredLayer):
        return module.window(input_shape, output_shape)
    if is_pointwise(module):
        return Window()
    entry = _torch_layer(module)
    if entry is None or (len(input_shape) != 3 and not isinstance(module, nn.Linear | nn.Flatten)):
        return None  # the other classes slide over maps only
    return entry.window(module, input_shape, output_shape)


def macs(module: nn.Module, input_shape: Shape, output_shape: Shape, counted: int = 0) -> int:
    """Count a layer's multiply-accumulates for one image; 0 for a layer that multiplies nothing.

    Args:
        module: a layer.
        input_shape, output_shape: without the batch.
        counted: what torch's FLOP counter saw, for a class that neither measures itself nor is in `TORCH_LAYERS`.
    """
    if isinstance(module, MeasuredLayer):
        return module.macs(input_shape, output_shape)
    entry = _torch_layer(module)
    return entry.macs(module, output_shape) if entry else counted


def kind(module: nn.Module) -> str:
    """Return a layer's kind, a key of `convline.network.diagram.COLORS`."""
    if isinstance(module, MeasuredLayer):
        return module.kind
    entry = _torch_layer(module)
    return entry.kind if entry else "other"
