"""What a layer computes: its multiply-accumulates, its window on the map before it, and its kind in a drawing.

A layer answers itself if it is a `MeasuredLayer`, as all of Convline's own layers are. torch.nn's classes cannot be
asked, so one table, `TORCH_LAYERS`, answers for them. Every reader (summary, receptive field, diagram) asks `window`,
`macs` and `kind` below, so a new layer is complete when it answers for itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

Shape = tuple[int, ...]  # C, H, W of a map, or the width of a vector; the batch is left out
Pair = tuple[float, float]  # height, width


@dataclass(frozen=True)
class Window:
    """The positions of the incoming map that one position of the outgoing map is computed from.

    Args:
        size: height and width in positions of the incoming map, dilation included.
        stride: positions of the incoming map between two neighboring windows; below 1 if the map is enlarged.
        padding: positions above and left of the map at which the first window begins; negative: inside the map.
    """

    size: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)


class MeasuredLayer:
    """Mixin of a layer that answers for itself; subclasses override what differs from a pointwise layer."""

    kind = "other"  # a key of `convline.network.diagram.COLORS`

    def window(self, input_shape: Shape, output_shape: Shape) -> Window | None:
        """Return the window that slides over the incoming map; None if there is no such window.

        Args:
            input_shape, output_shape: without the batch.
        """
        return Window()

    def macs(self, input_shape: Shape, output_shape: Shape) -> int:
        """Count the multiply-accumulates for one image; an addition alone counts as none."""
        return 0


def whole_map(input_shape: Shape) -> Window:
    """Return the window that covers a whole map, of which there is one."""
    return Window((input_shape[1], input_shape[2]))


def conv2d_macs(conv: nn.Conv2d, output_shape: Shape) -> int:
    """Count the multiply-accumulates of a convolution for one image."""
    return math.prod(output_shape) * math.prod(conv.kernel_size) * conv.in_channels // conv.groups


def as_pair(value: Any) -> tuple[int, int]:
    """Return (height, width) of an argument that torch.nn takes as one number or as two."""
    return (value[0], value[1]) if isinstance(value, tuple) else (value, value)


def dilated(module: Any) -> tuple[int, int]:
    """Return height and width of a module's window, spread by its dilation."""
    kernel, dilation = as_pair(module.kernel_size), as_pair(getattr(module, "dilation", 1))
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def _sliding(module: Any, input_shape: Shape, output_shape: Shape) -> Window:
    """Return the window of a convolution or a pool."""
    size = dilated(module)
    if module.padding == "same":  # torch's own: the stride is 1, and the odd position goes right and below
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


def _bilinear(module: Any, input_shape: Shape, output_shape: Shape) -> Window:
    """Return the window of an enlargement: each pixel is mixed from two by two pixels around its middle."""
    down, right = input_shape[1] / output_shape[1], input_shape[2] / output_shape[2]
    return Window((2, 2), (down, right), (1 - down / 2, 1 - right / 2))


def _flatten(module: Any, input_shape: Shape, output_shape: Shape) -> Window:
    return whole_map(input_shape) if len(input_shape) == 3 else Window()


def _linear(module: Any, input_shape: Shape, output_shape: Shape) -> Window | None:
    return Window() if len(input_shape) == 1 else None  # on a map it mixes the columns of each row


def _no_macs(module: Any, output_shape: Shape) -> int:
    return 0


@dataclass(frozen=True)
class _TorchLayer:
    """The answers for a class of torch.nn, which are functions of the module and its shapes."""

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
    nn.Upsample: _TorchLayer("resize", _bilinear),
}
_POINTWISE = ("activation", "batchnorm", "dropout", "normalization", "instancenorm")  # modules of torch.nn.modules


def is_pointwise(module: nn.Module) -> bool:
    """Tell whether a leaf of torch.nn works on each position by itself and keeps the shape.

    Norms over positions count as such too, as is the habit of the field.
    """
    package, _, file = type(module).__module__.rpartition(".")
    known = package == "torch.nn.modules" and file in _POINTWISE and not isinstance(module, nn.GLU)
    return (known and not list(module.children())) or isinstance(module, nn.Identity)


def _torch_layer(module: nn.Module) -> _TorchLayer | None:
    return next((TORCH_LAYERS[base] for base in type(module).__mro__ if base in TORCH_LAYERS), None)


def window(module: nn.Module, input_shape: Shape, output_shape: Shape) -> Window | None:
    """Return a layer's window on the map that comes in; None where no rule is known for the layer.

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
        return None  # the other rules are about maps
    return entry.window(module, input_shape, output_shape)


def macs(module: nn.Module, input_shape: Shape, output_shape: Shape) -> int:
    """Count a layer's multiply-accumulates for one image; 0 for a layer that multiplies by no weights.

    Args:
        module: a layer.
        input_shape, output_shape: without the batch.
    """
    if isinstance(module, MeasuredLayer):
        return module.macs(input_shape, output_shape)
    entry = _torch_layer(module)
    return entry.macs(module, output_shape) if entry else 0


def kind(module: nn.Module) -> str:
    """Return a layer's kind, by which a drawing chooses its color."""
    if isinstance(module, MeasuredLayer):
        return module.kind
    entry = _torch_layer(module)
    return entry.kind if entry else "other"
