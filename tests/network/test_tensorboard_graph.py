"""The graph of a network, by hand."""

import torch
from torch import nn

from convline.network.build import build_network
from convline.network.tensorboard_graph import Node, graph_def, nodes


def test_a_chain_with_stages() -> None:
    network = build_network("[CONV(4, 3) -> RELU -> POOL]*2 -> FC", (1, 8, 8), 3)
    assert nodes(network, (1, 8, 8)) == [
        Node("input", "Input", (), (1, 8, 8)),
        Node("stage1/conv1", "Conv2d", ("input",), (4, 8, 8)),
        Node("stage1/relu1", "ReLU", ("stage1/conv1",), (4, 8, 8)),
        Node("stage1/pool1", "MaxPool2d", ("stage1/relu1",), (4, 4, 4)),
        Node("stage2/conv1", "Conv2d", ("stage1/pool1",), (4, 4, 4)),
        Node("stage2/relu1", "ReLU", ("stage2/conv1",), (4, 4, 4)),
        Node("stage2/pool1", "MaxPool2d", ("stage2/relu1",), (4, 2, 2)),
        Node("flatten1", "Flatten", ("stage2/pool1",), (16,)),
        Node("fc1", "Linear", ("flatten1",), (3,)),
    ]


def test_forks_join_their_branches() -> None:
    network = build_network(
        "CONV(4, 3) -> add{ CONV(4, 3) | identity } -> concat{ CONV(2, 1) | POOL(3, 1, 1) } -> FC", (1, 4, 4), 3
    )
    nodes_by_name = {node.name: node for node in nodes(network, (1, 4, 4))}
    assert nodes_by_name["add1/branch1/conv1"].sources == ("conv1",)
    assert nodes_by_name["add1/sum"].sources == ("add1/branch1/conv1", "add1/branch2/identity1")
    assert nodes_by_name["concat1/branch2/pool1"].sources == ("add1/sum",)
    assert nodes_by_name["concat1/joined"].sources == ("concat1/branch1/conv1", "concat1/branch2/pool1")
    assert nodes_by_name["concat1/joined"].shape == (6, 4, 4)


def test_a_branch_with_nothing_in_it_passes_on_what_came() -> None:
    blocks = {"basic(c)": "add{ CONV(c, 3) | project(c, 1) } -> relu"}
    network = build_network("CONV(4, 3) -> basic(4) -> GAP -> FC", (1, 4, 4), 3, blocks=blocks)
    (joined,) = (node for node in nodes(network, (1, 4, 4)) if node.name.endswith("/sum"))
    assert joined.sources == ("basic1/add1/branch1/conv1", "conv1")


def test_every_source_is_a_node_that_came_before() -> None:
    pattern = "conv(4, 3) -> [add{ conv(4, 3) -> bn | identity } -> relu]*3 -> gap -> fc"
    seen = set()
    for node in nodes(build_network(pattern, (3, 8, 8), 5), (3, 8, 8)):
        assert set(node.sources) <= seen
        assert node.name not in seen
        assert bool(node.sources) == (node.name != "input")
        seen.add(node.name)


def test_foreign_arithmetic_leaves_out_an_edge() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(2 * self.one(x))

    sources = {node.name: node.sources for node in nodes(Doubled(), (4,))}
    assert sources == {"input": (), "one": ("input",), "two": ()}


def test_tensorboards_form() -> None:
    graph = graph_def(build_network("CONV(4, 3) -> FC", (1, 4, 4), 3), (1, 4, 4))
    (conv,) = (node for node in graph.node if node.name == "conv1")
    assert (conv.op, list(conv.input)) == ("Conv2d", ["input"])
    assert [dim.size for dim in conv.attr["_output_shapes"].list.shape[0].dim] == [-1, 4, 4, 4]


def test_a_layer_that_returns_its_input_is_not_the_source_of_other_branches() -> None:
    network = build_network("CONV(4, 3) -> add{ identity | CONV(4, 3) } -> FC", (1, 4, 4), 3)
    by_name = {node.name: node for node in nodes(network, (1, 4, 4))}
    assert by_name["add1/branch2/conv1"].sources == ("conv1",)
    assert by_name["add1/sum"].sources == ("add1/branch1/identity1", "add1/branch2/conv1")


def test_dropout_is_not_the_source_of_other_branches() -> None:
    network = build_network("CONV(4, 3) -> concat{ dropout -> CONV(2, 1) | CONV(3, 3) } -> FC", (1, 4, 4), 3)
    by_name = {node.name: node for node in nodes(network, (1, 4, 4))}
    assert by_name["concat1/branch1/conv1"].sources == ("concat1/branch1/dropout1",)
    assert by_name["concat1/branch2/conv1"].sources == ("conv1",)
