"""What the layers of a network give out, without disturbing the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from convline.network.trace import is_layer

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU)
UNCHANGED = (nn.Dropout, nn.Identity, nn.Flatten)  # layers that in evaluation only pass numbers on


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode; afterwards each module is in the mode that it was in."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def layers(network: nn.Module) -> dict[str, nn.Module]:
    """The layers by their names, forks included; no containers."""
    return {
        name or type(module).__name__.lower(): module for name, module in network.named_modules() if is_layer(module)
    }


@torch.no_grad()
def outputs(
    network: nn.Module,
    images: Tensor,
    wanted: Callable[[nn.Module], bool],
    keep: Callable[[nn.Module, Tensor], Any],
) -> dict[str, Any]:
    """One forward pass in evaluation mode, and what came out of the layers.

    Args:
        network: a compiled one runs uncompiled, since compiled code skips hooks.
        images: float32, N×C×H×W, on the network's device.
        wanted: which layers.
        keep: what of a layer and its output.
    Returns:
        By the layers' names, in the order of the forward pass.
    """
    found: dict[str, Any] = {}

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            found[name] = keep(module, output)

    hooks = [m.register_forward_hook(partial(note, name)) for name, m in layers(network).items() if wanted(m)]
    try:
        with evaluating(network):
            network.forward(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found
