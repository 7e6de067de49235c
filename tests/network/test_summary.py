"""The layer table, against numbers from papers and against torch's own counter."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convline.network.build import build_network
from convline.network.summary import remarks, short_text, summarize


def table_of(pattern, shape=(1, 28, 28), num_classes=10, **variables):
    with torch.device("meta"):
        network = build_network(pattern, shape, num_classes, **variables)
    return summarize(network, shape)


def fields(table):
    return {layer.name: layer.receptive_field for layer in table.layers}


LENET = (
    "conv(6,5,pad=2) -> relu -> pool -> conv(16,5,pad=valid) -> relu -> pool -> fc(120) -> relu -> fc(84) -> relu -> fc"
)


def test_lenet_by_hand():
    table = table_of(LENET)
    assert table.parameters == 61_706
    assert table.macs == 28 * 28 * 25 * 6 + 10 * 10 * 25 * 6 * 16 + 400 * 120 + 120 * 84 + 84 * 10
    rows = {layer.name: layer for layer in table.layers}
    assert [rows[name].receptive_field for name in ("conv1", "pool1", "conv2", "pool2", "fc1")] == [5, 6, 14, 16, 32]
    assert [rows[name].stride for name in ("conv1", "pool1", "conv2", "pool2", "fc1")] == [1, 2, 2, 4, None]
    assert rows["conv2"].output_shape == (16, 10, 10)
    assert rows["conv2"].parameters == 2_416
    assert rows["conv2"].activation_bytes == 4 * 1600
    assert table.output_shape == (10,)


def test_dilation_and_branches_widen_the_receptive_field():
    assert fields(table_of("conv(4, 3, dilation=3) -> conv -> fc"))["conv2"] == 7 + 2
    forked = fields(table_of("pool -> concat{ conv(2, 1) | conv(2, 5) -> conv(2, 5) | identity } -> fc"))
    assert forked["concat1"] == 2 + 2 * (4 + 4)
    assert fields(table_of("conv(4, 3, 2) -> shortcut(8, 2) -> conv -> fc"))["conv2"] == 3 + 2 * 4


def test_enlarging_makes_the_field_smaller_in_pixels():
    table = table_of("enlarge(16) -> conv(4, 5) -> fc", (1, 8, 8))
    conv = table.layers[1]
    assert conv.stride == 0.5
    assert conv.receptive_field == 4  # 2 pixels of the enlarged one, and 4 steps of half a pixel


def test_global_pools_see_everything():
    assert fields(table_of("conv -> gap -> fc"))["gap1"] == 30
    assert fields(table_of("conv -> adaptivepool(1) -> fc"))["adaptivepool1"] == 30


def test_remarks():
    assert remarks(table_of("conv -> fc(1000) -> relu -> fc")) == [
        "100 % of the parameters sit in fc1",
        "99 % of the multiply-accumulates sit in fc1",
        "the receptive field is 3 of 28 pixels at conv1",
    ]
    assert "the receptive field is 15 of 32 pixels at conv7" in remarks(table_of("conv(8)*7 -> fc", (3, 32, 32)))
    assert remarks(table_of("conv(8, 5)*8 -> gap -> fc -> softmax")) == [
        "softmax1 comes last, but the loss takes logits and has a softmax of its own: drop it for training"
    ]
    assert any("the logits pass through relu1" in remark for remark in remarks(table_of("fc(10) -> relu")))


def test_short_form():
    assert short_text(table_of(LENET)).splitlines()[0] == (
        "1×28×28 -> 10 in 12 layers: 61,706 parameters, 416,520 multiply-accumulates "
        "and 0.06 MiB of activations an image"
    )


def test_the_network_itself_is_left_alone():
    network = build_network("conv -> bn -> dropout -> fc", (1, 8, 8), 10).train()
    calls = []
    network.conv1.register_forward_hook(lambda *args: calls.append(args))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    summarize(network, (1, 8, 8))
    assert network.training
    assert not calls
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert len(network.conv1._forward_hooks) == 1


class Foreign(nn.Module):
    """Arithmetic outside of modules, a shared layer, and a weight beside children."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.fc = nn.Linear(3 * 64, 10)
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x):
        return self.fc((self.conv(self.conv(x)) * self.scale).flatten(1))


def test_foreign_networks_have_a_table_too():
    table = summarize(Foreign(), (3, 8, 8))
    assert [layer.name for layer in table.layers] == ["conv", "conv", "fc", "foreign"]
    assert table.parameters == 84 + 1930 + 3
    assert [layer.receptive_field for layer in table.layers] == [3, 5, None, None]
    assert table.macs == 2 * 64 * 81 + 1920


class UsedAsFunction(nn.Module):
    """Takes the weights of a layer without calling it, and multiplies outside of all layers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, images):
        return F.linear(images.flatten(1), self.fc.weight)


def test_what_no_layer_counts_is_in_the_totals_and_a_remark_names_it():
    table = summarize(nn.Sequential(UsedAsFunction(), nn.Linear(3, 2)), (1, 2, 2))
    assert [(layer.name, layer.parameters, layer.macs) for layer in table.layers] == [("1", 8, 6)]
    assert (table.parameters, table.macs) == (15 + 8, 12 + 6)
    assert remarks(table)[-2:] == [
        "15 parameters have no row, since no layer uses them here: 0.fc.weight, 0.fc.bias",
        "12 multiply-accumulates are computed outside of all layers",
    ]


FAST = ("vit_b_16", "swin_t", "googlenet")  # attention, shifted windows, auxiliary outputs that evaluation does not use
OTHERS = (
    "mobilenet_v3_small", "mobilenet_v2", "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "inception_v3",
    "maxvit_t", "mnasnet0_5", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_0",
    "swin_v2_t", "vgg11_bn", "wide_resnet50_2",
)  # fmt: skip


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_sums_of_torchvisions_networks_are_those_of_torch(name: str):
    arguments = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(**arguments).eval()
    side = 299 if name == "inception_v3" else 224
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, side, side, device="meta"))
    table = summarize(network, (3, side, side))
    assert table.parameters == sum(p.numel() for p in network.parameters())
    assert table.macs == counter.get_total_flops() // 2


def test_wrong_images_are_refused():
    network = build_network("conv -> fc", (1, 8, 8), 10)
    with pytest.raises(ValueError, match="cannot take images of 1×9×9"):
        summarize(network, (1, 9, 9))


def test_to_dict_is_plain():
    figures = table_of(LENET).to_dict()
    assert figures["parameters"] == sum(layer["parameters"] for layer in figures["layers"]) == 61_706
    assert figures["layers"][0] == {
        "name": "conv1",
        "kind": "Conv2d",
        "output_shape": [6, 28, 28],
        "parameters": 156,
        "macs": 117_600,
        "activation_bytes": 18_816,
        "receptive_field": 5,
        "stride": 1,
    }
