"""Record the outputs of a network's layers with forward hooks, and leave the network unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from convline.network.trace import is_layer

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU)
UNCHANGED = (nn.Dropout, nn.Identity, nn.Flatten)  # layers that return their input's values in evaluation mode


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Set a network to evaluation mode; restore the mode of each module at the end."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a network by name, including forks but no other containers."""
    return {
        name or type(module).__name__.lower(): module for name, module in network.named_modules() if is_layer(module)
    }


@torch.no_grad()
def outputs(
    network: nn.Module,
    images: Tensor,
    is_recorded: Callable[[nn.Module], bool],
    record: Callable[[nn.Module, Tensor], Any],
) -> dict[str, Any]:
    """Run one forward pass in evaluation mode, and record the outputs of layers.

    Args:
        network: any module; a compiled network runs uncompiled, since compiled code skips hooks.
        images: float32, N×C×H×W, on the network's device.
        is_recorded: selects the layers.
        record: computes the recorded value from a layer and its output.
    Returns:
        The recorded values by layer name, in the order of the forward pass.
    """
    values: dict[str, Any] = {}

    def hook(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            values[name] = record(module, output)

    handles = [
        module.register_forward_hook(partial(hook, name))
        for name, module in layers(network).items()
        if is_recorded(module)
    ]
    try:
        with evaluating(network):
            dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), images.dtype)
            network.forward(images.to(dtype))  # not network(images), which would run the compiled code
    finally:
        for handle in handles:
            handle.remove()
    return values
