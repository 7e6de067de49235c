"""The summary of a network: shapes, parameters, multiply-accumulates, memory and receptive field of each layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from convline.formatting import shape_text
from convline.network import measures
from convline.network.hooks import ACTIVATIONS
from convline.network.receptive_field import fields_of_calls
from convline.network.trace import trace


@dataclass(frozen=True)
class LayerSummary:
    """One row.

    Args:
        name: the module's name in the network.
        kind: the module's class.
        output_shape: without the batch: channels, height, width.
        parameters: numbers that are trained; each counted once.
        macs: multiply-accumulates of convolutions, local and dense layers for one image; a bias counts as none.
        activation_bytes: of the output for one image, in float32.
        receptive_field: side, in pixels of the input, of what one output position sees (padding counts as pixels);
            None where it cannot be told.
        stride: pixels of the input between two neighbouring positions; None for vectors and where it cannot be told.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    activation_bytes: int
    receptive_field: int | None
    stride: float | None


@dataclass(frozen=True)
class NetworkSummary:
    """All layers in the order of the forward pass; `input_shape` is without the batch."""

    input_shape: tuple[int, ...]
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        """Sum over the layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Sum over the layers, for one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Sum over the layers, for one image: about what training keeps for the backward pass."""
        return sum(layer.activation_bytes for layer in self.layers)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of the whole network, without the batch."""
        return self.layers[-1].output_shape

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, ready for JSON."""
        return {
            "input_shape": list(self.input_shape),
            "parameters": self.parameters,
            "macs": self.macs,
            "activation_bytes": self.activation_bytes,
            "layers": [{**asdict(layer), "output_shape": list(layer.output_shape)} for layer in self.layers],
            "remarks": remarks(self),
        }


def summarize(network: nn.Module, input_shape: Sequence[int]) -> NetworkSummary:
    """Summarize a network by one forward pass on the meta device; the network itself is not changed.

    Args:
        network: any module that maps N×C×H×W to a tensor, on any device.
        input_shape: channels, height and width of one image.
    Raises:
        ValueError: the network cannot take such images.
    """
    calls = trace(network, input_shape)
    layers, counted = list[LayerSummary](), set[int]()  # ids of the parameters that a row counts already
    for call, field in zip(calls, fields_of_calls(calls), strict=True):
        new = {id(p): p for p in call.module.parameters(recurse=False) if id(p) not in counted}
        counted |= set(new)
        layers.append(
            LayerSummary(
                name=call.name,
                kind=type(call.module).__name__,
                output_shape=call.output_shape,
                parameters=sum(p.numel() for p in new.values()),
                macs=measures.macs(call.module, call.input_shape or (), call.output_shape),
                activation_bytes=4 * math.prod(call.output_shape),
                receptive_field=field.longest_side if field else None,
                stride=max(field.jump) if field and len(call.output_shape) == 3 else None,
            )
        )
    return NetworkSummary(tuple(input_shape), tuple(layers))


def short_text(table: NetworkSummary) -> str:
    """The table in a line, and a line for each remark."""
    size = shape_text(table.input_shape)
    line = (
        f"{size} -> {shape_text(table.output_shape)} in {len(table.layers)} layers: "
        f"{table.parameters:,} parameters, {table.macs:,} multiply-accumulates and "
        f"{table.activation_bytes / 2**20:,.2f} MiB of activations an image"
    )
    return "\n".join([line, *(f"  - {remark}" for remark in remarks(table))])


def remarks(table: NetworkSummary) -> list[str]:
    """What is out of proportion, or cannot be meant, in a network; empty if nothing is."""
    return [*_shares(table), *_views(table), *_endings(table)]


def _shares(table: NetworkSummary) -> Iterator[str]:
    for what, total, of in (
        ("parameters", table.parameters, lambda layer: layer.parameters),
        ("multiply-accumulates", table.macs, lambda layer: layer.macs),
    ):
        largest = max(table.layers, key=of)
        if total and of(largest) > 0.75 * total and sum(of(layer) > 0 for layer in table.layers) > 1:
            yield f"{100 * of(largest) / total:.0f} % of the {what} sit in {largest.name}"


def _views(table: NetworkSummary) -> Iterator[str]:
    maps = [layer for layer in table.layers if len(layer.output_shape) == 3]
    if len(table.input_shape) == 3 and maps and maps[-1].receptive_field:
        side = max(table.input_shape[1:])
        if maps[-1].receptive_field < side:
            yield f"the receptive field is {maps[-1].receptive_field} of {side} pixels at {maps[-1].name}"


def _endings(table: NetworkSummary) -> Iterator[str]:
    last = table.layers[-1]
    if last.kind == "Softmax":
        yield f"{last.name} comes last, but the loss takes logits and has a softmax of its own: drop it for training"
    elif last.kind in {activation.__name__ for activation in ACTIVATIONS}:
        yield f"the logits pass through {last.name}, which bends them: end with FC"
