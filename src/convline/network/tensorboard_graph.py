"""Convert a network to the graph that TensorBoard draws, with one node for each layer.

TensorBoard groups the nodes by their names. `SummaryWriter.add_graph` would use `torch.jit.trace`, which is deprecated,
and draw every operation. Here the nodes are the layer calls of a trace; an edge is missing where the network computes
a tensor outside of its modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from convline.network.layers import Add
from convline.network.trace import INPUT, trace

if TYPE_CHECKING:
    from tensorboard.compat.proto.graph_pb2 import GraphDef


@dataclass(frozen=True)
class Node:
    """Describe a node of the graph: a layer call, or the input.

    Args:
        name: name in the network, with slashes for dots.
        kind: class of the module.
        sources: names of the nodes whose outputs are the inputs.
        shape: shape of the output, without the batch.
    """

    name: str
    kind: str
    sources: tuple[str, ...]
    shape: tuple[int, ...]


def nodes(network: nn.Module, input_shape: Sequence[int]) -> list[Node]:
    """Return the nodes of a network in the order of the forward pass, the input first.

    Args:
        network: any module that maps N×C×H×W to a tensor.
        input_shape: channels, height and width of one image.
    Raises:
        ValueError: the network cannot take such images.
    """
    calls = trace(network, input_shape).calls
    names = {INPUT: "input"}
    for index, call in enumerate(calls):
        names[index] = call.name.replace(".", "/")
        if any(call.module.children()):  # TensorBoard gives this name to the group of its children
            names[index] += "/sum" if type(call.module) is Add else "/joined"
    layers = [
        Node(
            name=names[index],
            kind=type(call.module).__name__,
            sources=tuple(names[source] for source in call.sources if source is not None),
            shape=call.output_shape,
        )
        for index, call in enumerate(calls)
    ]
    return [Node("input", "Input", (), tuple(input_shape)), *layers]


def graph_def(network: nn.Module, input_shape: Sequence[int]) -> GraphDef:
    """Return the graph as TensorBoard's protocol buffer, with the shapes on its edges."""
    from tensorboard.compat.proto.attr_value_pb2 import AttrValue
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.versions_pb2 import VersionDef

    graph_nodes = []
    for node in nodes(network, input_shape):
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in (-1, *node.shape)])
        shapes = AttrValue(list=AttrValue.ListValue(shape=[shape]))
        graph_nodes.append(NodeDef(name=node.name, op=node.kind, input=node.sources, attr={"_output_shapes": shapes}))
    return GraphDef(node=graph_nodes, versions=VersionDef(producer=22))
