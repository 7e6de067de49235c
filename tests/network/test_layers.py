"""Layers, against answers worked out by hand and against slow loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convline.network.build import build_network
from convline.network.layers import (
    AvgPool2dSame,
    Concat,
    Conv2dSame,
    GaussPool2d,
    GlobalAvgPool2d,
    L2Pool2d,
    Local2d,
    MaxPool2dSame,
    PadShortcut,
    same_padding,
)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (5, 3, 1, (1, 1)),
        (5, 2, 1, (0, 1)),  # an even window: the odd zero goes right and bottom
        (6, 3, 2, (0, 1)),
        (5, 3, 2, (1, 1)),
        (7, 2, 2, (0, 1)),
        (8, 2, 2, (0, 0)),
        (224, 7, 2, (2, 3)),
        (9, 1, 4, (0, 0)),
        (1, 2, 2, (0, 1)),
    ],
)
def test_same_padding(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected
    assert (size + sum(expected) - kernel) // stride + 1 == math.ceil(size / stride)


def test_same_padding_counts_the_dilated_window():
    assert same_padding(8, 3, 1, dilation=2) == (2, 2)


IMAGE = [
    [60, 113, 56, 139, 85],
    [73, 121, 54, 84, 128],
    [131, 99, 70, 129, 127],
    [80, 57, 115, 69, 134],
    [104, 126, 123, 95, 130],
]
SHARPEN = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]


def convolved(pattern, image, kernel):
    """The map that a one-filter convolution without a bias gives."""
    side = len(image)
    network = build_network(pattern + " -> fc", (1, side, side), 10)
    network.conv1.weight.data = torch.tensor(kernel, dtype=torch.float32)[None, None]
    return network.conv1(torch.tensor(image, dtype=torch.float32)[None, None])[0, 0].tolist()


def test_sharpening_kernel():
    sharp = convolved("conv(1, 3, pad=1, bias=false)", IMAGE, SHARPEN)
    assert sharp[0][0] == 114
    assert sharp == convolved("conv(1, bias=false)", IMAGE, SHARPEN)
    expected = [[114, -26, 158], [403, -47, 244], [314, 279, 421]]
    assert convolved("conv(1, 3, 2, 1, bias=false)", IMAGE, SHARPEN) == expected
    assert convolved("conv(1, 3, 2, same, bias=false)", IMAGE, SHARPEN) == expected


def test_five_by_five_by_three_by_three():
    image = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
    kernel = [[0, 1, 2], [2, 2, 0], [0, 1, 2]]
    expected = [[12, 12, 17], [10, 17, 19], [9, 6, 14]]
    assert convolved("conv(1, pad=valid, bias=false)", image, kernel) == expected
    halved = convolved("conv(1, 3, 2, 0, bias=false)", image, kernel)
    assert halved == [[12, 17], [9, 14]]


def test_strided_same_convolution_pads_right_and_bottom():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    conv = Conv2dSame(1, 1, 3, 2, bias=False)
    conv.weight.data.fill_(1)
    # windows at rows and columns 0-2 and 2-4, the last one zero
    assert conv(image).tolist() == [[[[45, 39], [66, 50]]]]


def test_even_window_looks_right_and_down():
    assert convolved("conv(1, 2, bias=false)", [[1, 2], [3, 4]], [[1, 10], [100, 1000]]) == [[4321, 402], [43, 4]]


def test_local_with_shared_weights_is_a_convolution():
    conv = nn.Conv2d(2, 3, 3, stride=2, padding=1)
    local = Local2d(2, 3, 3, (3, 4), 2, ((1, 1), (1, 1)))
    local.weight.data = conv.weight.detach().reshape(1, 3, -1).transpose(1, 2).expand(12, -1, -1).clone()
    local.bias.data = conv.bias.detach()[:, None, None].expand(3, 3, 4).clone()
    images = torch.randn(4, 2, 5, 7)
    torch.testing.assert_close(local(images), conv(images))


def test_local_shares_nothing_between_positions():
    local = Local2d(1, 1, 1, (2, 2))
    local.weight.data = torch.tensor([1.0, 2, 3, 4]).reshape(4, 1, 1)
    local.bias.data = torch.tensor([[[10.0, 20], [30, 40]]])
    assert local(torch.ones(1, 1, 2, 2)).tolist() == [[[[11, 22], [33, 44]]]]


def test_same_pools_look_only_at_what_is_there():
    image = torch.tensor([[-1.0, -2, -3], [-4, -5, -6], [-7, -8, -9]])[None, None]
    assert MaxPool2dSame(2, 2, "same")(image).tolist() == [[[[-1, -3], [-7, -9]]]]
    assert AvgPool2dSame(2, 2, "same")(image).tolist() == [[[[-3, -4.5], [-7.5, -9]]]]


def test_avgpool_does_not_count_its_padding():
    network = build_network("avgpool(3, 2, 1) -> fc", (1, 2, 2), 3)
    assert network.avgpool1(torch.full((1, 1, 2, 2), 6.0)).tolist() == [[[[6.0]]]]


def test_l2pool_is_the_norm_of_the_window_and_has_a_gradient_at_zero():
    image = torch.tensor([[3.0, 0], [0, 4]])[None, None].requires_grad_()
    pooled = L2Pool2d(2, 2)(image)
    pooled.backward()
    assert pooled.item() == 5
    torch.testing.assert_close(image.grad, torch.tensor([[[[0.6, 0], [0, 0.8]]]]))
    zeros = torch.zeros(1, 1, 2, 2, requires_grad=True)
    L2Pool2d(2, 2)(zeros).backward()
    assert zeros.grad.tolist() == [[[[0, 0], [0, 0]]]]


def test_gausspool_weighs_by_the_distance_from_the_centre():
    pool = GaussPool2d(3, 1, sigma=1.0)
    a, b = math.exp(-0.5), math.exp(-1.0)
    expected = torch.tensor([[b, a, b], [a, 1, a], [b, a, b]]) / (1 + 4 * a + 4 * b)
    torch.testing.assert_close(pool.weight, expected)
    images = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(pool(images)[:, :, 0, 0], (images[:, :, :3, :3] * expected).sum((2, 3)))
    assert pool(torch.ones(1, 2, 4, 4)).allclose(torch.ones(1, 2, 2, 2))


def test_global_average_and_pad_shortcut():
    assert GlobalAvgPool2d()(torch.arange(8.0).reshape(1, 2, 2, 2)).tolist() == [[1.5, 5.5]]
    out = PadShortcut(1, 2)(torch.arange(9.0).reshape(1, 1, 3, 3))
    assert out.tolist() == [[[[0, 2], [6, 8]], [[0, 0], [0, 0]]]]


def test_concat_joins_channels_in_order():
    joined = Concat([nn.Identity(), nn.ReLU()])(torch.tensor([[-1.0, 2]]))
    assert joined.tolist() == [[-1, 2, 0, 2]]


def test_layers_are_right_in_channels_last():
    for pattern in (
        "local(4, 3, 2)",
        "l2pool",
        "gausspool(3, 2, same)",
        "avgpool(2, 2, same)",
        "pool(2, 2, same)",
        "conv(4, 3, 2)",
    ):
        network = build_network(f"conv(3) -> {pattern} -> fc", (2, 7, 7), 5).eval()
        images = torch.randn(2, 2, 7, 7)
        expected = network(images)
        last = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(last, expected, msg=pattern)


def test_enlarge_is_bilinear_and_nothing_on_large_maps():
    network = build_network("enlarge(4) -> fc", (1, 2, 2), 3)
    image = torch.rand(1, 1, 2, 2)
    torch.testing.assert_close(network.enlarge1(image), F.interpolate(image, size=4, mode="bilinear"))
    assert "enlarge1" not in dict(build_network("enlarge(4) -> fc", (1, 4, 4), 3).named_modules())
