"""Compute the theoretical receptive field of each layer: the image pixels that one output position depends on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from convline.network import windows_and_macs
from convline.network.layers import Add
from convline.network.trace import INPUT, LayerCall, trace
from convline.network.windows_and_macs import Pair, Window


@dataclass(frozen=True)
class ReceptiveField:
    """Hold the receptive field of a layer's output positions.

    Args:
        size: height and width in the image, in pixels; padding counts as pixels.
        jump: image pixels between the fields of neighboring positions.
        start: row and column of the image at which the first position's field begins; negative within padding.

    Source: Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.
    """

    size: Pair = (1, 1)
    jump: Pair = (1, 1)
    start: Pair = (0, 0)

    def through(self, window: Window) -> ReceptiveField:
        """Return the receptive field after one more layer, which slides this window over positions with this field.

        Source: Araujo, Norris & Sim, eq. 2.
        """
        axes = list(zip(self.size, self.jump, self.start, window.size, window.stride, window.padding, strict=True))
        height, width = (size + (kernel - 1) * jump for size, jump, _, kernel, _, _ in axes)
        down, right = (jump * stride for _, jump, _, _, stride, _ in axes)
        top, left = (start - jump * padding for _, jump, start, _, _, padding in axes)
        return ReceptiveField((height, width), (down, right), (top, left))

    @property
    def longest_side(self) -> int:
        """Return the longer side, rounded up to whole pixels."""
        return math.ceil(max(self.size) - 1e-6)  # products of fractions such as 5/7 miss whole numbers by rounding


def union(fields: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
    """Return the bounding box of the fields of several branches; None if one is unknown."""
    known_fields = [field for field in fields if field is not None]
    if not known_fields or len(known_fields) < len(fields):
        return None
    top, left = (min(field.start[axis] for field in known_fields) for axis in (0, 1))
    bottom, right = (max(field.start[axis] + field.size[axis] for field in known_fields) for axis in (0, 1))
    return ReceptiveField((bottom - top, right - left), known_fields[0].jump, (top, left))


def fields_of_calls(calls: Sequence[LayerCall]) -> list[ReceptiveField | None]:
    """Return the receptive field after each call of a trace; None where it is unknown.

    It is unknown after a layer whose window is unknown, and after arithmetic outside of modules.
    """
    fields: list[ReceptiveField | None] = []
    for call in calls:
        # a source is always an earlier call, whose field is already known
        inputs = [ReceptiveField() if i == INPUT else None if i is None else fields[i] for i in call.sources]
        if isinstance(call.module, Add):
            fields.append(union(inputs))
            continue
        first = inputs[0] if inputs else None
        if first is None or call.input_shape is None:
            fields.append(None)
            continue
        window = windows_and_macs.window(call.module, call.input_shape, call.output_shape)
        fields.append(None if window is None else first.through(window))
    return fields


def receptive_fields(network: nn.Module, input_shape: Sequence[int]) -> dict[str, ReceptiveField | None]:
    """Return the receptive field of each layer by the layer's name, in the order of the forward pass.

    Args:
        network: any module that maps N×C×H×W to a tensor.
        input_shape: channels, height and width of one image.
    Returns:
        The fields; None where the field is unknown. For a layer that is called twice, the field after its last call.
    Raises:
        ValueError: the network cannot take such images.
    """
    calls = trace(network, input_shape).calls
    return {call.name: field for call, field in zip(calls, fields_of_calls(calls), strict=True)}
