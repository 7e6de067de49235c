"""The layer table of any network: shapes, parameters, multiply-accumulates, memory and receptive field of each layer.

A forward pass on the meta device tells everything, and allocates nothing. What a position sees travels along: each
module's hook looks up the tensor that comes in and notes the view of the one that goes out. Where a foreign module does
arithmetic outside of modules the trail ends, and the receptive field is None.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from convline.errors import first_line
from convline.network.layers import Add, GaussPool2d, Local2d
from convline.network.receptive_field import ReceptiveField, view_after


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
    """The table of a network, on whatever device it is; the network itself is left alone.

    Args:
        network: any module that maps N×C×H×W to a tensor.
        input_shape: channels, height, width of one image.
    Raises:
        ValueError: the network cannot take such images.
    """
    return NetworkSummary(tuple(input_shape), tuple(_recorded(network, input_shape).layers))


def receptive_fields(network: nn.Module, input_shape: Sequence[int]) -> dict[str, ReceptiveField | None]:
    """What one position of each layer sees of the input, by the layer's name; None where it cannot be told.

    Args:
        network, input_shape: as for `summarize`.
    Raises:
        ValueError: the network cannot take such images.
    """
    return _recorded(network, input_shape).by_layer


def _recorded(network: nn.Module, input_shape: Sequence[int]) -> _Recorder:
    shape = tuple(input_shape)
    twin = meta_copy(network).eval()
    recorder = _Recorder(twin)
    floats = [p.dtype for p in twin.parameters() if p.is_floating_point()]
    image = torch.empty(1, *shape, device="meta", dtype=floats[0] if floats else None)
    recorder.note(image, ReceptiveField.pixel())
    try:
        with torch.no_grad():
            twin(image)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f"the network cannot take images of {'×'.join(map(str, shape))}: {first_line(error)}"
        ) from error
    return recorder


def meta_copy(network: nn.Module) -> nn.Module:
    """A copy on the meta device, without the original's hooks; no weight's memory is ever copied."""
    memo: dict[int, Any] = {}
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        ghost = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
        memo[id(tensor)] = nn.Parameter(ghost, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else ghost
    twin = copy.deepcopy(network, memo)
    for module in twin.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return twin


class _Recorder:
    """Hooks into a network and collects rows while a forward pass runs."""

    def __init__(self, network: nn.Module) -> None:
        self.layers: list[LayerSummary] = []
        self.by_layer: dict[str, ReceptiveField | None] = {}
        self.counted: set[int] = set()  # ids of parameters that a row has already
        self.views: dict[int, ReceptiveField | None] = {}  # by id of a tensor
        self.alive: list[Tensor] = []  # an id is unique only as long as its tensor lives
        self.branches: dict[int, ReceptiveField | None] = {}  # by id of a branch's module
        for name, module in network.named_modules():
            if isinstance(module, Add):
                for branch in module.children():
                    branch.register_forward_hook(self.leave_branch)
            if is_layer(module):
                module.register_forward_hook(partial(self.record, name))

    def note(self, tensor: Tensor, view: ReceptiveField | None) -> None:
        """Remember what one position of a tensor sees."""
        self.alive.append(tensor)
        self.views[id(tensor)] = view

    def leave_branch(self, branch: nn.Module, inputs: Any, output: Tensor) -> None:
        """A forward hook: what a fork's branch saw."""
        self.branches[id(branch)] = self.views.get(id(output))

    def record(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """A forward hook: one row."""
        if not isinstance(output, Tensor) or not inputs or not isinstance(inputs[0], Tensor):
            return
        view = self.view(module, inputs[0], output)
        self.note(output, view)
        name = name or type(module).__name__.lower()
        self.by_layer[name] = view
        new = {id(p): p for p in module.parameters(recurse=False) if id(p) not in self.counted}
        self.counted |= set(new)
        shape = tuple(output.shape[1:])
        self.layers.append(
            LayerSummary(
                name=name,
                kind=type(module).__name__,
                output_shape=shape,
                parameters=sum(p.numel() for p in new.values()),
                macs=_macs(module, output),
                activation_bytes=4 * math.prod(shape),
                receptive_field=view.longest_side if view else None,
                stride=max(view.jump) if view and len(shape) == 3 else None,
            )
        )

    def view(self, module: nn.Module, incoming: Tensor, output: Tensor) -> ReceptiveField | None:
        """What one position of the output sees, if it can be told."""
        if isinstance(module, Add):
            return ReceptiveField.widest([self.branches.get(id(branch)) for branch in module.children()])
        before = self.views.get(id(incoming))
        return view_after(module, before, incoming.shape, output.shape) if before else None


def is_layer(module: nn.Module) -> bool:
    """Leaves, forks, and what holds weights of its own beside its children; not a branch with nothing in it."""
    if isinstance(module, nn.Sequential):
        return False
    return not list(module.children()) or isinstance(module, Add) or bool(list(module.parameters(recurse=False)))


def _macs(module: nn.Module, output: Tensor) -> int:
    """Multiply-accumulates of one module for one image."""
    match module:
        case nn.Conv2d():
            return output[0].numel() * math.prod(module.kernel_size) * module.in_channels // module.groups
        case Local2d():
            return module.weight.numel()
        case nn.Linear():
            return output[0].numel() * module.in_features
        case GaussPool2d():
            return output[0].numel() * module.kernel_size**2
    return 0


def short_text(table: NetworkSummary) -> str:
    """The table in a line, and a line for each remark."""
    size = "×".join(map(str, table.input_shape))
    line = (
        f"{size} -> {'×'.join(map(str, table.output_shape))} in {len(table.layers)} layers: "
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
    elif last.kind in ("ReLU", "Sigmoid", "Tanh", "GELU", "SiLU", "LeakyReLU"):
        yield f"the logits pass through {last.name}, which bends them: end with FC"
