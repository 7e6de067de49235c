"""What one position of a layer's output sees of the input image, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from convline.network.layers import Conv2dSame, GlobalAvgPool2d, Local2d, PadShortcut, Pool2d, same_padding

Pair = tuple[float, float]  # height, width

_POINTWISE = ("activation", "batchnorm", "dropout", "normalization", "instancenorm")


@dataclass(frozen=True)
class ReceptiveField:
    """What a position sees.

    Args:
        field: height and width of the window in the input, in pixels; padding counts as pixels.
        step: pixels of the input between neighbouring positions.
        start: row and column of the input where the first position's window begins; negative within padding.
    """

    size: Pair
    jump: Pair
    start: Pair = (0, 0)

    @staticmethod
    def pixel() -> ReceptiveField:
        """What a position of the input itself sees."""
        return ReceptiveField((1, 1), (1, 1))

    @staticmethod
    def widest(views: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
        """What a position sees through several branches; None if one is unknown."""
        known = [view for view in views if view is not None]
        if not known or len(known) < len(views):
            return None
        start = min(view.start[0] for view in known), min(view.start[1] for view in known)
        height, width = (max(view.start[axis] + view.size[axis] for view in known) - start[axis] for axis in (0, 1))
        return ReceptiveField((height, width), known[0].jump, start)

    def through(self, kernel: Pair, stride: Pair, before: Pair = (0, 0)) -> ReceptiveField:
        """The view after a window of `kernel` positions that moves by `stride` positions, after `before` of padding.

        Source: Araujo, Norris & Sim, "Computing Receptive Fields of ConvNets", Distill 2019, eq. 2.
        """
        field = [f + (k - 1) * s for f, k, s in zip(self.size, kernel, self.jump, strict=True)]
        step = [s * by for s, by in zip(self.jump, stride, strict=True)]
        start = [at - s * pad for at, s, pad in zip(self.start, self.jump, before, strict=True)]
        return ReceptiveField((field[0], field[1]), (step[0], step[1]), (start[0], start[1]))

    @property
    def longest_side(self) -> int:
        """The longer side of the field, in whole pixels."""
        return math.ceil(max(self.size) - 1e-6)


def is_pointwise(module: nn.Module) -> bool:
    """Whether a leaf of torch.nn works on each position by itself and keeps the shape.

    Norms over positions count as such too, as is the habit of the field.
    """
    package, _, file = type(module).__module__.rpartition(".")
    known = package == "torch.nn.modules" and file in _POINTWISE and not isinstance(module, nn.GLU)
    return (known and not list(module.children())) or isinstance(module, nn.Identity)


def view_after(
    module: nn.Module, before: ReceptiveField, incoming: Sequence[int], outgoing: Sequence[int]
) -> ReceptiveField | None:
    """The view after one module.

    Args:
        module: a leaf.
        before: the view of the tensor that comes in.
        incoming: shape of what comes in, batch first.
        outgoing: shape of what goes out, batch first.
    Returns:
        None if the module is not known.
    """
    if is_pointwise(module):
        return before
    if len(incoming) != 4:
        return before if isinstance(module, nn.Linear | nn.Flatten) else None
    sides = float(incoming[2]), float(incoming[3])
    match module:
        case nn.Conv2d() | nn.MaxPool2d() | nn.AvgPool2d() | Pool2d() | Local2d():
            return before.through(*_window(module), _padding(module, incoming))
        case PadShortcut():
            return before.through((1, 1), (module.stride, module.stride))
        case nn.Flatten() | GlobalAvgPool2d():
            return before.through(sides, (1, 1))
        case nn.AdaptiveAvgPool2d() | nn.AdaptiveMaxPool2d():
            shrink = sides[0] / outgoing[2], sides[1] / outgoing[3]
            return before.through((_widest(int(sides[0]), outgoing[2]), _widest(int(sides[1]), outgoing[3])), shrink)
        case nn.Upsample():  # bilinear: each pixel is mixed from the two pixels around its middle, in each direction
            shrink = sides[0] / outgoing[2], sides[1] / outgoing[3]
            return before.through((2, 2), shrink, (1 - shrink[0] / 2, 1 - shrink[1] / 2))
    return None


def _widest(size: int, num_windows: int) -> int:
    """The largest of the windows that adaptive pooling cuts a side into."""
    starts = range(num_windows)
    return max(-(-(i + 1) * size // num_windows) - i * size // num_windows for i in starts)


def _window(module: nn.Module) -> tuple[Pair, Pair]:
    """Kernel, spread by its dilation, and stride."""
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    dilation = _pair(getattr(module, "dilation", 1))
    spread = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    return (spread[0], spread[1]), stride


def _padding(module: nn.Module, incoming: Sequence[int]) -> Pair:
    """Positions of padding above and left of the incoming map."""
    if isinstance(module, Local2d):
        return module.pad[0][0], module.pad[1][0]
    if isinstance(module, Conv2dSame) or module.padding == "same":
        kernel, stride = _window(module)
        above, left = (
            same_padding(int(i), int(k), int(s))[0] for i, k, s in zip(incoming[2:], kernel, stride, strict=True)
        )
        return above, left
    return _pair(module.padding)


def _pair(value: object) -> Pair:
    if isinstance(value, tuple):
        return value[0], value[1]
    assert isinstance(value, int)
    return value, value
