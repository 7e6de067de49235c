"""Count the parameters and list the output shapes of networks, as text and without training them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported inside functions: torch takes seconds to import
    from convline.network.summary import NetworkSummary


@functools.cache
def network_summary(*overrides: str) -> NetworkSummary:
    """Summarize the network that `python train.py OVERRIDES` would train."""
    from convline.config import load_config
    from convline.network.build import build_meta_network

    return build_meta_network(load_config(overrides))[1]


def parameters_text(*overrides: str) -> str:
    """Count the parameters of the network that `python train.py OVERRIDES` would train: "61,706"."""
    return f"{network_summary(*overrides).parameters:,}"


def layer_parameters_text(name: str, *overrides: str) -> str:
    """Count the parameters of one layer of the network that `python train.py OVERRIDES` would train: "48,120"."""
    return f"{next(layer.parameters for layer in network_summary(*overrides).layers if layer.name == name):,}"


def output_shapes(kinds: tuple[str, ...], *overrides: str) -> str:
    """List the output shapes of layers of some kinds as H×W×C, in the format of tutorials: "26×26×32, 13×13×32"."""
    shapes = [layer.output_shape for layer in network_summary(*overrides).layers if layer.kind.startswith(kinds)]
    return ", ".join(f"{height}×{width}×{channels}" for channels, height, width in shapes)


@functools.cache
def pattern_summary(pattern: str, input_shape: tuple[int, ...]) -> NetworkSummary:
    """Summarize a pattern's network for ten classes."""
    import torch

    from convline.network.build import build_network
    from convline.network.summary import summarize

    with torch.device("meta"):  # the network of a large image needs no memory
        network = build_network(pattern, input_shape=input_shape, num_classes=10)
    return summarize(network, input_shape)


def first_layer_parameters_text(pattern: str, *input_shape: int) -> str:
    """Count the parameters of a pattern's first layer that has any: "34,944"."""
    layers = pattern_summary(pattern, input_shape).layers
    return f"{next(layer.parameters for layer in layers if layer.parameters):,}"
