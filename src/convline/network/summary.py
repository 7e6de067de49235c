"""Summarize a network: output shape, parameters, multiply-accumulates, memory and receptive field of each layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from convline.formatting import shape_text
from convline.network import windows_and_macs
from convline.network.hooks import ACTIVATIONS
from convline.network.receptive_field import fields_of_calls
from convline.network.trace import trace


@dataclass(frozen=True)
class LayerSummary:
    """Hold the summary of one layer.

    Args:
        name: the module's name in the network.
        kind: the module's class.
        output_shape: channels, height, width; without the batch.
        parameters: number of parameters, with those of modules inside the layer that it uses without calling them; a
            shared one counts in the first layer only.
        macs: multiply-accumulates for one image; a bias counts as none. For classes that Convline does not know, they
            are half of what torch's FLOP counter counts.
        activation_bytes: size of the output for one image, in float32.
        receptive_field: longer side of the receptive field, in pixels of the input (padding counts as pixels); None if
            it is unknown.
        stride: input pixels between two neighboring positions; None for vectors, and if it is unknown.
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
    """Hold the summaries of all layers in the order of the forward pass.

    Args:
        input_shape: without the batch.
        layers: the layers.
        parameters_outside: names and sizes of the parameters that no layer has.
        macs_outside: multiply-accumulates for one image outside of every layer, by torch's FLOP counter.
    """

    input_shape: tuple[int, ...]
    layers: tuple[LayerSummary, ...]
    parameters_outside: dict[str, int]
    macs_outside: int

    @property
    def parameters(self) -> int:
        """Count all parameters."""
        return sum(layer.parameters for layer in self.layers) + sum(self.parameters_outside.values())

    @property
    def macs(self) -> int:
        """Count all multiply-accumulates for one image."""
        return sum(layer.macs for layer in self.layers) + self.macs_outside

    @property
    def activation_bytes(self) -> int:
        """Sum the outputs of all layers for one image; training keeps about as much for the backward pass."""
        return sum(layer.activation_bytes for layer in self.layers)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Return the shape of the network's output, without the batch."""
        return self.layers[-1].output_shape

    def to_dict(self) -> dict[str, Any]:
        """Convert to numbers, lists and strings, for JSON."""
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
    traced = trace(network, input_shape)
    calls = traced.calls
    owned = {id(p) for call in calls for p in call.module.parameters(recurse=False)}
    layers, counted = list[LayerSummary](), set[int]()  # ids of the parameters that an earlier layer counts
    for call, field in zip(calls, fields_of_calls(calls), strict=True):
        own = {id(p) for p in call.module.parameters(recurse=False)}
        # with those of inner modules that were not called, such as the projection of nn.MultiheadAttention
        new = {
            id(p): p for p in call.module.parameters() if id(p) not in counted and (id(p) in own or id(p) not in owned)
        }
        counted |= set(new)
        layers.append(
            LayerSummary(
                name=call.name,
                kind=type(call.module).__name__,
                output_shape=call.output_shape,
                parameters=sum(p.numel() for p in new.values()),
                macs=windows_and_macs.macs(call.module, call.input_shape or (), call.output_shape, call.counted_macs),
                activation_bytes=4 * math.prod(call.output_shape),
                receptive_field=field.longest_side if field else None,
                stride=max(field.jump) if field and len(call.output_shape) == 3 else None,
            )
        )
    outside = {name: p.numel() for name, p in traced.network.named_parameters() if id(p) not in counted}
    return NetworkSummary(tuple(input_shape), tuple(layers), outside, traced.macs_outside)


def short_text(summary: NetworkSummary) -> str:
    """Return the totals of a network in one line, followed by a line for each remark."""
    line = (
        f"{shape_text(summary.input_shape)} -> {shape_text(summary.output_shape)} in {len(summary.layers)} layers: "
        f"{summary.parameters:,} parameters, {summary.macs:,} multiply-accumulates and "
        f"{summary.activation_bytes / 2**20:,.2f} MiB of activations an image"
    )
    return "\n".join([line, *(f"  - {remark}" for remark in remarks(summary))])


def remarks(summary: NetworkSummary) -> list[str]:
    """Warn of a layer with most of the totals, a small receptive field, logits after a softmax, or missing rows."""
    return [
        *_dominant_layers(summary),
        *_small_receptive_field(summary),
        *_wrong_last_layer(summary),
        *_outside_of_layers(summary),
    ]


def _dominant_layers(summary: NetworkSummary) -> Iterator[str]:
    for noun, total, count in (
        ("parameters", summary.parameters, lambda layer: layer.parameters),
        ("multiply-accumulates", summary.macs, lambda layer: layer.macs),
    ):
        largest = max(summary.layers, key=count)
        if total and count(largest) > 0.75 * total and sum(count(layer) > 0 for layer in summary.layers) > 1:
            yield f"{100 * count(largest) / total:.0f} % of the {noun} sit in {largest.name}"


def _small_receptive_field(summary: NetworkSummary) -> Iterator[str]:
    maps = [layer for layer in summary.layers if len(layer.output_shape) == 3]
    if len(summary.input_shape) == 3 and maps and maps[-1].receptive_field:
        side = max(summary.input_shape[1:])
        if maps[-1].receptive_field < side:
            yield f"the receptive field is {maps[-1].receptive_field} of {side} pixels at {maps[-1].name}"


def _wrong_last_layer(summary: NetworkSummary) -> Iterator[str]:
    last = summary.layers[-1]
    if last.kind == "Softmax":
        yield f"{last.name} comes last, but the loss takes logits and has a softmax of its own: drop it for training"
    elif last.kind in {activation.__name__ for activation in ACTIVATIONS}:
        yield f"the logits pass through {last.name}, which bends them: end with FC"


def _outside_of_layers(summary: NetworkSummary) -> Iterator[str]:
    names = list(summary.parameters_outside)
    if names:
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        number = sum(summary.parameters_outside.values())
        yield f"{number:,} parameters have no row, since no layer uses them here: {', '.join(names[:2])}{more}"
    if summary.macs_outside:
        yield f"{summary.macs_outside:,} multiply-accumulates are computed outside of all layers"
