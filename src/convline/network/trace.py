"""Trace one forward pass through a network, layer call by layer call.

The pass runs on a copy on the meta device, where tensors have shapes and no memory. The summary, the receptive fields
and TensorBoard's graph are computed from this trace.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convline.formatting import first_line, shape_text
from convline.network.layers import Add
from convline.network.windows_and_macs import Shape

INPUT = -1  # the index that stands for the image in `LayerCall.sources`


@dataclass(frozen=True)
class LayerCall:
    """Record one call of one layer.

    Args:
        name: the layer's name in the network; the class in lower case if the network itself is the layer.
        module: the layer, in a copy of the network on the meta device.
        sources: for each input tensor, the index of the call that returned it, or `INPUT`; None if the network computed
            it outside of its modules. For a fork, the sources of its branches' outputs.
        input_shape: shape of the first input tensor, without the batch; None if there is no input tensor.
        output_shape: shape of the output, without the batch; of a tuple, that of its first tensor.
        counted_macs: multiply-accumulates that torch's FLOP counter saw, without those of the layers inside this one.
    """

    name: str
    module: nn.Module
    sources: tuple[int | None, ...]
    input_shape: Shape | None
    output_shape: Shape
    counted_macs: int = 0


@dataclass(frozen=True)
class Trace:
    """Hold one forward pass.

    Args:
        calls: the calls in the order in which they ended; a layer that is called twice has two entries.
        network: the copy of the network on the meta device that the layers belong to.
        macs_outside: multiply-accumulates that torch's FLOP counter saw outside of every layer.
    """

    calls: list[LayerCall]
    network: nn.Module
    macs_outside: int


def trace(network: nn.Module, input_shape: Sequence[int]) -> Trace:
    """Record every call of a layer in one forward pass, in evaluation mode.

    A layer that returns neither a tensor nor a tuple that begins with one is left out. The network itself is not
    changed, and its own hooks do not run.

    Args:
        network: any module that maps N×C×H×W to a tensor, on any device.
        input_shape: channels, height and width of one image.
    Raises:
        ValueError: the network cannot take such images.
    """
    meta_copy = _meta_copy(network).eval()
    dtype = next((p.dtype for p in meta_copy.parameters() if p.is_floating_point()), None)
    image = torch.empty(1, *input_shape, device="meta", dtype=dtype)
    counter = FlopCounterMode(display=False)
    tracer = _Tracer(meta_copy, image, counter)
    try:
        with torch.no_grad(), counter:
            meta_copy(image)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"the network cannot take images of {shape_text(input_shape)}: {first_line(error)}") from error
    return Trace(tracer.calls, meta_copy, (counter.get_total_flops() - tracer.flops_of_layers) // 2)


class _Tracer:
    """Register a hook on every layer of a network, and record the calls of a forward pass.

    Args:
        network: the network, in which the hooks remain.
        image: the input tensor of the forward pass.
        counter: torch's FLOP counter, active during the pass.
    """

    def __init__(self, network: nn.Module, image: Tensor, counter: FlopCounterMode) -> None:
        self.calls: list[LayerCall] = []
        self.counter = counter
        self.flops_of_layers = 0  # of all calls that have ended
        self.running: list[tuple[int, int]] = []  # of each call that has not: all flops, and those of layers, before it
        # By id of a tensor, the index of the call that returned it. The tensor is stored with it, since Python may
        # reuse the id of a tensor that is freed.
        self.producers: dict[int, tuple[int, Tensor]] = {id(image): (INPUT, image)}
        self.branch_sources: dict[int, list[int | None]] = {}  # of the branches that have ended, by id of the fork
        for name, module in network.named_modules():
            if isinstance(module, Add):
                for branch in module.children():
                    branch.register_forward_hook(partial(self.leave_branch, module))
            if is_layer(module):
                module.register_forward_pre_hook(self.enter_layer)
                module.register_forward_hook(partial(self.leave_layer, name), with_kwargs=True)

    def source(self, tensor: Tensor) -> int | None:
        """Return the index of the call that returned a tensor; None if no layer returned it."""
        return self.producers[id(tensor)][0] if id(tensor) in self.producers else None

    def leave_branch(self, fork: Add, branch: nn.Module, inputs: Any, output: Tensor) -> None:
        """Record the source of a branch's output (a forward hook of the branch)."""
        self.branch_sources.setdefault(id(fork), []).append(self.source(output))

    def enter_layer(self, module: nn.Module, inputs: Any) -> None:
        """Note how many FLOPs were counted before a call (a forward pre-hook of the layer)."""
        self.running.append((self.counter.get_total_flops(), self.flops_of_layers))

    def leave_layer(
        self, name: str, module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Any
    ) -> Any:
        """Record a call, and return its output, or a view of it (a forward hook of the layer)."""
        flops_before, of_layers_before = self.running.pop()
        result = output[0] if isinstance(output, tuple) and output else output  # attention returns its weights too
        if not isinstance(result, Tensor):
            return output
        own_flops = self.counter.get_total_flops() - flops_before - (self.flops_of_layers - of_layers_before)
        self.flops_of_layers += own_flops
        tensors = [value for value in (*inputs, *keywords.values()) if isinstance(value, Tensor)]
        is_fork = isinstance(module, Add)
        sources = self.branch_sources.pop(id(module), []) if is_fork else [self.source(tensor) for tensor in tensors]
        shape = tuple(tensors[0].shape[1:]) if tensors else None
        name = name or type(module).__name__.lower()
        self.calls.append(LayerCall(name, module, tuple(sources), shape, tuple(result.shape[1:]), own_flops // 2))
        # nn.Identity, and dropout in evaluation mode, return their input tensor itself, which other branches may use
        # too. The hook then returns a new view of it, so that each tensor is the output of one call.
        if id(result) in self.producers and result is output:
            result = output = result.view_as(result)
        self.producers[id(result)] = len(self.calls) - 1, result
        return output


def is_layer(module: nn.Module) -> bool:
    """Return whether a module is a layer: a leaf, a fork, or a module that has both children and its own parameters."""
    if isinstance(module, nn.Sequential):  # an empty branch of a fork has no children, but is no layer
        return False
    return not list(module.children()) or isinstance(module, Add) or bool(list(module.parameters(recurse=False)))


def _meta_copy(network: nn.Module) -> nn.Module:
    """Copy a network to the meta device without its hooks; no weight's memory is copied."""
    memo: dict[int, Any] = {}  # deepcopy takes the copy of each weight from here
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    meta_copy = copy.deepcopy(network, memo)
    for module in meta_copy.modules():
        # Private API of torch (seen in 2.15). deepcopy copies hooks, and only their handles, which this function does
        # not have, could remove them. If torch renames these attributes, the hooks run on the copy too, and a test
        # fails.
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return meta_copy
