"""The drawing: valid SVG that shows what is there."""

from xml.etree import ElementTree as ET

import torch
from torch import nn

from convline.network.build import build_network
from convline.network.diagram import draw
from convline.network.summary import summarize

BLOCKS = {"basic(c, s=1)": "add{ conv(c,3,s) -> bn -> relu -> conv(c,3) -> bn | project(c, s) } -> relu"}


def drawn(network, shape, title="title"):
    """The drawing's texts, and its slabs' fills."""
    svg = ET.fromstring(draw(network, summarize(network, shape), title))
    tag = "{http://www.w3.org/2000/svg}"
    return [text.text for text in svg.iter(f"{tag}text")], [rect.get("fill") for rect in svg.iter(f"{tag}rect")]


def built(pattern, shape, **variables):
    with torch.device("meta"):
        return build_network(pattern, shape, 10, **variables)


def test_a_chain_shows_layers_shapes_and_notes():
    network = built("conv(6, 5) -> relu -> pool -> fc(84) -> relu -> fc", (1, 28, 28))
    texts, fills = drawn(network, (1, 28, 28), "<lenet & co>")
    assert texts[:2] == ["image", "1×28×28"]
    assert texts[2:6] == ["conv", "5×5", "6×28×28", "relu"]
    assert "<lenet & co>" in texts
    assert fills.count("#f58518") == 2  # the two dense layers


def test_neighbours_that_look_the_same_are_drawn_once():
    network = built("[[conv(8) -> relu]*3 -> pool]*2 -> [basic(8)]*4 -> fc", (8, 32, 32), blocks=BLOCKS)
    texts, fills = drawn(network, (8, 32, 32))
    assert texts.count("conv ×3") == 2
    assert "stage1" in texts
    assert "stage3 ×4" in texts
    assert fills.count("#4c78a8") == 2 + 2


def test_forks_show_every_branch_and_how_they_meet():
    texts, fills = drawn(
        built("concat{ conv(4) | pool(3, 1, 1) -> conv(2, 1) | identity } -> fc", (1, 8, 8)), (1, 8, 8)
    )
    assert "∥" in texts
    assert fills.count("#4c78a8") == 2
    texts, _ = drawn(built("add{ conv(4) -> bn | project(4) } -> relu -> gap -> fc", (1, 8, 8)), (1, 8, 8))
    assert "+" in texts


def test_long_networks_go_on_below():
    def size(num_layers):
        network = built(" -> ".join(f"conv({4 + i})" for i in range(num_layers)) + " -> fc", (1, 8, 8))
        svg = ET.fromstring(draw(network, summarize(network, (1, 8, 8))))
        return float(svg.get("width")), float(svg.get("height"))

    assert size(60)[0] <= 1600
    assert size(60)[1] > 2 * size(5)[1] - 64


class Foreign(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 10)

    def forward(self, x):
        return self.fc(self.conv(x).relu().flatten(1))


def test_foreign_networks_are_drawn_as_a_chain():
    texts, _ = drawn(Foreign(), (1, 8, 8))
    assert texts[2:] == ["conv", "3×3", "4×6×6", "fc", "10", "title", texts[-1]]
