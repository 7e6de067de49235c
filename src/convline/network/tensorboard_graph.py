"""A network as the graph that TensorBoard draws: a node for each layer, in boxes by their names.

torch's own `add_graph` traces the forward pass by means that torch has deprecated, and draws every operation. Here a
forward pass on the meta device with hooks in the layers tells who passes what to whom; where a foreign module does
arithmetic outside of modules, the edge is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from convline.network.layers import Add
from convline.network.summary import is_layer, meta_copy

if TYPE_CHECKING:
    from tensorboard.compat.proto.graph_pb2 import GraphDef


@dataclass(frozen=True)
class Node:
    """A layer, or the input.

    Args:
        name: in the network, its parts separated by slashes.
        kind: the module's class.
        sources: names of the nodes whose output comes in.
        shape: of what goes out, without the batch.
    """

    name: str
    kind: str
    sources: tuple[str, ...]
    shape: tuple[int, ...]


def nodes(network: nn.Module, input_shape: Sequence[int]) -> list[Node]:
    """The nodes in the order of the forward pass, the input first."""
    twin = meta_copy(network).eval()
    image = torch.empty(1, *input_shape, device="meta", dtype=next((p.dtype for p in twin.parameters()), None))
    found = [Node("input", "Input", (), tuple(input_shape))]
    makers: dict[int, tuple[str, Tensor]] = {id(image): ("input", image)}  # an id is unique as long as its tensor lives
    ends: dict[int, list[str]] = {}  # what a fork's branches end with, by id of the fork

    def leave_branch(fork: Add, branch: nn.Module, inputs: Any, output: Tensor) -> None:
        if id(output) in makers:
            ends.setdefault(id(fork), []).append(makers[id(output)][0])

    def leave_layer(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        known = [makers[id(tensor)][0] for tensor in inputs if id(tensor) in makers]
        sources = ends.pop(id(module), []) if isinstance(module, Add) else known
        path = name.replace(".", "/") or type(module).__name__.lower()
        if any(module.children()):  # a box of its children has this name already
            path += "/sum" if type(module) is Add else "/joined"
        found.append(Node(path, type(module).__name__, tuple(sources), tuple(output.shape[1:])))
        makers[id(output)] = path, output

    for name, module in twin.named_modules():
        if isinstance(module, Add):
            for branch in module.children():
                branch.register_forward_hook(partial(leave_branch, module))
        if is_layer(module):
            module.register_forward_hook(partial(leave_layer, name))
    with torch.no_grad():
        twin.forward(image)
    return found


def graph_def(network: nn.Module, input_shape: Sequence[int]) -> GraphDef:
    """The graph in TensorBoard's form; shapes stand on the edges."""
    from tensorboard.compat.proto.attr_value_pb2 import AttrValue
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.versions_pb2 import VersionDef

    made = []
    for node in nodes(network, input_shape):
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in (-1, *node.shape)])
        shapes = AttrValue(list=AttrValue.ListValue(shape=[shape]))
        made.append(NodeDef(name=node.name, op=node.kind, input=node.sources, attr={"_output_shapes": shapes}))
    return GraphDef(node=made, versions=VersionDef(producer=22))
