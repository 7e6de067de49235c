"""Patterns to networks: shapes, names, initialisation, and what cannot be built."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convline.network.build import build_network
from convline.network.layer_builders import LAYER_BUILDERS
from convline.network.layers import Local2d
from convline.network.summary import summarize
from convline.pattern.source import PatternError

GRAMMAR = "INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*K -> FC"
BLOCKS = {"basic(c, s=1)": "add{ conv(c,3,s) -> bn -> relu -> conv(c,3) -> bn | project(c, s) } -> relu"}


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def build(pattern, shape=(1, 28, 28), num_classes=10, **variables):
    with torch.device("meta"):
        return build_network(pattern, shape, num_classes, **variables)


def test_the_grammar_of_the_field_builds():
    network = build_network(GRAMMAR, (3, 32, 32), 7, N=2, M=3, K=1, pool=True)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 7)
    # by hand: 3->32, five times 32->32 in 3×3 windows; 4·4·32 -> 128 -> 7
    assert num_parameters(network) == 896 + 5 * 9248 + (512 * 128 + 128) + (128 * 7 + 7)


def test_names_can_be_read():
    network = build("conv -> bn -> [basic(c, s) -> basic(c)*2]*2 -> gap -> fc", c=[8, 16], s=[1, 2], blocks=BLOCKS)
    names = list(network.state_dict())
    assert names[0] == "conv1.weight"
    assert "stage2.basic1.add1.branch2.conv1.weight" in names
    assert "stage2.basic3.add1.branch1.bn2.running_mean" in names
    assert names[-1] == "fc1.bias"
    assert not any("stage1.basic2.add1.branch2" in name for name in names)  # shapes agree: no projection
    assert all(type(part) is nn.Sequential for part in (network, network.stage2, network.stage2.basic1))


def test_counts_of_one_layer():
    def layer(text):
        return num_parameters(getattr(build(f"{text} -> fc"), text.partition("(")[0] + "1"))

    assert layer("local(32, 3, pad=valid)") == 216_320
    assert layer("conv(32, 3, pad=valid)") == 320
    assert layer("fc(21632)") == 16_981_120  # 26·26·32 units, as many as the other two give
    assert build("local(32, 3, pad=valid) -> fc").fc1.in_features == 26 * 26 * 32


def test_a_window_of_three_by_two_steps_on_five_gives_two():
    for unit in ("conv(1, 3, 2, valid)", "pool(3)", "l2pool(3)"):
        assert build(f"{unit} -> fc", (1, 5, 5)).fc1.in_features == 4


def test_last_fc_has_as_many_units_as_classes():
    assert [build(text).fc2.out_features for text in ("fc -> fc", "fc(12) -> fc -> softmax", "fc -> fc(10)")] == [
        10
    ] * 3
    assert build("fc -> fc").fc1.out_features == 128
    assert build("conv -> [fc]*1").fc1.out_features == 10


def test_fc_flattens_a_map_and_norms_follow_the_shape():
    network = build("conv(4) -> bn -> fc(6) -> bn -> dropout -> fc")
    assert [type(m).__name__ for m in network] == [
        *["Conv2d", "BatchNorm2d", "Flatten", "Linear", "BatchNorm1d", "Dropout", "Linear"],
    ]


@pytest.mark.parametrize("shortcut", ["project", "shortcut"])
def test_shortcuts_appear_only_where_shapes_differ(shortcut):
    def branch(filters, stride):
        network = build(f"conv(8) -> add{{ conv({filters}, 3, {stride}) | {shortcut}({filters}, {stride}) }} -> fc")
        return [type(module).__name__ for module in network.add1.branch2]

    layer_names = {"project": ["Conv2d", "BatchNorm2d"], "shortcut": ["PadShortcut"]}[shortcut]
    assert [branch(8, 1), branch(16, 1), branch(8, 2)] == [[], layer_names, layer_names]


def test_relu_leaves_its_input_alone():
    network = build_network("conv(4) -> relu -> fc", (1, 6, 6), 3)
    maps = network.conv1(torch.randn(1, 1, 6, 6))
    before = maps.clone()
    network.relu1(maps)
    assert torch.equal(maps, before)
    assert (before < 0).any()


def test_plain_torch_initialisation_is_that_of_torch():
    torch.manual_seed(3)
    network = build_network("conv(4) -> fc", (1, 4, 4), 3)
    torch.manual_seed(3)
    conv, fc = nn.Conv2d(1, 4, 3), nn.Linear(64, 3)
    assert torch.equal(network.conv1.weight, conv.weight)
    assert torch.equal(network.fc1.weight, fc.weight)


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        ("torch", math.sqrt(1 / (3 * 72))),  # uniform in ±1/√fan_in
        ("he", math.sqrt(2 / 72)),
        ("glorot", math.sqrt(2 / (72 + 1152))),
        ("keras", math.sqrt(2 / (72 + 1152))),
    ],
)
def test_initialisation(init, deviation):
    torch.manual_seed(0)
    network = build_network("conv(128) -> local(4) -> fc", (8, 6, 6), 50, init=init)
    assert network.conv1.weight.std().item() == pytest.approx(deviation, rel=0.03)
    zero = init != "torch"
    assert all((p == 0).all().item() == zero for name, p in network.named_parameters() if name.endswith("bias"))


def test_keras_counts_the_positions_of_a_local_layer_as_a_window():
    torch.manual_seed(0)
    local = build_network("local(16) -> fc", (8, 6, 6), 5, init="keras").local1
    assert local.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (36 * 72 + 36 * 16)), rel=0.01)


def test_dirac_passes_channels_through():
    network = build_network("conv(5) -> local(6) -> fc", (3, 6, 6), 5, init="dirac")
    network.conv1.bias.data.zero_()
    network.local1.bias.data.zero_()
    images = torch.randn(2, 3, 6, 6)
    maps = network.local1(network.conv1(images))
    torch.testing.assert_close(maps[:, :3], images)
    assert not maps[:, 3:].any()


IMPOSSIBLE = [
    ("[conv -> pool]*5 -> fc", 10, "POOL (stage5.pool1) needs a map of at least 2×2, but gets 32×1×1; drop a POOL"),
    ("conv(8, 5, pad=valid)*7 -> fc", 1, "CONV needs a map of at least 5×5, but gets 8×4×4"),
    ("conv(8, 3, pad=valid, dilation=20) -> fc", 1, "at least 41×41, but gets 1×28×28"),
    ("conv -> relu", 12, "ends with 32×28×28, but must end with 10 logits; add '-> FC'"),
    ("conv -> [fc -> relu]*2", 22, "ends with 128, but must end with 10 logits"),
    ("fc -> conv -> fc", 7, "CONV needs a map C×H×W, but gets a vector of 128"),
    ("add{ conv(8) | conv(16) } -> fc", 1, "branches of 8×28×28, 16×28×28 cannot be added; type project"),
    ("concat{ conv | pool } -> fc", 1, "branches of 32×28×28, 1×14×14 cannot be joined"),
    ("concat{ conv | gap } -> fc", 1, "branches of 32×28×28, 1 cannot be joined"),
    ("conv(8, groups=3) -> fc", 1, "groups=3 must divide both the 1 channels that come in and the 8 filters"),
    ("conv(12) -> groupnorm(8) -> fc", 13, "groups=8 must divide the 12 channels"),
    ("pool(2, 2, 2) -> fc", 1, "more than half its window"),
    ("conv(8) -> shortcut(4) -> fc", 12, "can only add channels"),
    ("fc(1000000) -> fc(1000000) -> fc", 16, "weights up to here need"),
    ("fc(1000000000000000000) -> fc", 4, "below 2^31"),
    ("enlarge(1000000) -> fc", 1, "its output needs"),
]


@pytest.mark.parametrize(("pattern", "column", "says"), IMPOSSIBLE)
def test_impossible_networks_are_pointed_at(pattern, column, says, monkeypatch):
    monkeypatch.setattr("convline.network.build.memory_limit", lambda: 2**34)
    with pytest.raises(PatternError) as caught:
        build_network(pattern, (1, 28, 28), 10)
    assert says in str(caught.value)
    assert caught.value.column == column
    text, caret = str(caught.value).splitlines()[1:3]
    assert (text.strip(), caret.index("^")) == (pattern, column + 3)


def test_an_error_in_a_block_tells_where_it_is_used():
    with pytest.raises(PatternError) as caught:
        build_network("conv -> halve*6 -> fc", (1, 28, 28), 10, blocks={"halve": "relu -> pool"})
    assert str(caught.value).startswith("block halve column 9: POOL (halve5.pool1) needs a map of at least 2×2")
    assert "used from pattern column 9" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"input_shape": (28, 28)}, "three whole numbers: channels, height, width"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"init": "xavier"}, "init=xavier is unknown: it must be one of torch, he"),
    ],
)
def test_senseless_arguments(arguments, says):
    with pytest.raises(ValueError, match=says):
        build_network("fc", **{"input_shape": (1, 8, 8), "num_classes": 10, **arguments})


def test_nothing_is_allocated_on_the_meta_device():
    network = build("[conv(512)]*4 -> fc(4096) -> fc")
    assert all(parameter.is_meta for parameter in network.parameters())


def test_a_network_works_under_autocast_and_keeps_every_unit():
    pattern = (
        "conv(8, 2) -> leaky_relu -> l2pool -> local(8) -> tanh -> gausspool(3, 1, 1) -> groupnorm(4) -> gelu -> lrn "
        "-> add{ conv(8) -> silu | identity } -> sigmoid -> avgpool(3, 2, same) -> concat{ conv(4) | shortcut(12) } "
        "-> adaptivemaxpool(3) -> adaptivepool(2) -> project(20) -> flatten -> dropout -> fc"
    )
    network = build_network(pattern, (2, 17, 13), 10)
    assert any(isinstance(module, Local2d) for module in network.modules())
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.randn(3, 2, 17, 13))
    assert logits.shape == (3, 10)
    logits.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


sizes = st.integers(1, 9).map(str) | st.sampled_from(["same", "valid", "0", "true", "0.5"])
units = st.builds(
    lambda name, arguments: f"{name}({', '.join(arguments)})" if arguments else name,
    st.sampled_from([*LAYER_BUILDERS, "project(4)", "conv(8, 3)", "conv(6, 2, 2)", "pool"]).filter(
        lambda name: name != "enlarge"
    ),
    st.lists(sizes, max_size=2),
).map(lambda text: text.replace(")(", ", "))
forks = st.builds("{}{{ {} -> {} | {} }}".format, st.sampled_from(["add", "concat"]), units, units, units)


@settings(max_examples=200, deadline=None)
@given(st.lists(units | forks, max_size=6), st.sampled_from([(1, 8, 8), (3, 17, 12)]))
def test_any_pattern_is_refused_or_gives_what_a_forward_pass_gives(steps, shape):
    pattern = " -> ".join([*steps, "fc"])
    try:
        network = build(pattern, shape)
    except PatternError:
        return
    assert summarize(network, shape).output_shape == (10,)
