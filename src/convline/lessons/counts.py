"""What networks count, worked out without training them."""

import functools

from convline.network.summary import NetworkSummary


@functools.cache
def table_of(*words: str) -> NetworkSummary:
    """The layer table of the network that `python train.py WORDS` would train."""
    from convline.config.compose import load_config
    from convline.network.from_config import meta_network

    return meta_network(load_config(words))[1]


def parameters(*words: str) -> str:
    """Of that network: "61,706"."""
    return f"{table_of(*words).parameters:,}"


def of_layer(name: str, *words: str) -> str:
    """The parameters of one of its layers."""
    return f"{next(layer.parameters for layer in table_of(*words).layers if layer.name == name):,}"


def shapes(kinds: tuple[str, ...], *words: str) -> str:
    """Output sizes of its layers of these kinds: "26×26×32, 13×13×32", height first as tutorials write them."""
    found = [layer.output_shape for layer in table_of(*words).layers if layer.kind.startswith(kinds)]
    return ", ".join(f"{height}×{width}×{channels}" for channels, height, width in found)


def first_layer(pattern: str, *input_shape: int) -> str:
    """Parameters of a pattern's first layer that has any."""
    layers = pattern_table(pattern, input_shape).layers
    return f"{next(layer.parameters for layer in layers if layer.parameters):,}"


@functools.cache
def pattern_table(pattern: str, input_shape: tuple[int, ...]) -> NetworkSummary:
    """The layer table of a pattern for ten classes."""
    import torch

    from convline.network.build import build_network
    from convline.network.summary import summarize

    with torch.device("meta"):
        network = build_network(pattern, input_shape=input_shape, num_classes=10)
    return summarize(network, input_shape)
