"""One contract over every unit of the language: it can be built, has a receptive field, and counts its work."""

import math

import pytest
import torch
from torch import nn

from convline.network import windows_and_macs
from convline.network.build import build_network
from convline.network.diagram import COLORS
from convline.network.layer_builders import LAYER_BUILDERS
from convline.network.receptive_field import fields_of_calls
from convline.network.trace import INPUT, LayerCall, trace
from convline.network.windows_and_macs import MeasuredLayer, Window
from convline.pattern.arguments import REQUIRED
from convline.pattern.vocabulary import UNITS


def called(unit: str) -> str:
    """The unit with a value for each argument that has no default."""
    values = ", ".join(f"{p.name}=16" for p in UNITS[unit] if p.default is REQUIRED)
    return f"{unit}({values})" if values else unit


def calls_of(unit: str) -> list[LayerCall]:
    """The calls of a network that is this unit on a map of 8×12×12, and a dense layer."""
    with torch.device("meta"):
        return trace(build_network(f"{called(unit)} -> fc(3) -> fc", (8, 12, 12), 5), (8, 12, 12)).calls


def test_every_unit_has_a_builder() -> None:
    assert UNITS.keys() == LAYER_BUILDERS.keys() | {"project"}  # which becomes conv -> bn


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_has_a_receptive_field(unit: str) -> None:
    calls = calls_of(unit)
    assert None not in fields_of_calls(calls), f"{calls[0].module} answers no window"
    has_window = any(parameter.name in ("kernel", "filters", "size") for parameter in UNITS[unit])
    if has_window and unit not in ("lrn", "project", "shortcut"):  # these see one position, or channels
        first = calls[0]
        assert first.input_shape is not None
        assert windows_and_macs.window(first.module, first.input_shape, first.output_shape) != Window(), unit


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_with_weights_counts_multiply_accumulates(unit: str) -> None:
    for call in calls_of(unit):
        tensors = [*call.module.parameters(recurse=False), *call.module.buffers(recurse=False)]
        weights = [tensor for tensor in tensors if tensor.ndim > 1]  # norms scale by vectors alone
        count = windows_and_macs.macs(call.module, call.input_shape or (), call.output_shape)
        assert (count > 0) == bool(weights), f"{call.name} counts {count}"


@pytest.mark.parametrize("unit", UNITS)
def test_the_window_of_every_unit_is_that_of_its_gradient(unit: str) -> None:
    """Which positions a position in the middle of the output depends on, by the gradient, for many random maps."""
    torch.manual_seed(0)
    call = calls_of(unit)[0]
    module = build_network(f"{called(unit)} -> fc(3) -> fc", (8, 12, 12), 5).get_submodule(call.name).eval()
    window = windows_and_macs.window(module, (8, 12, 12), call.output_shape)
    assert window is not None
    images = torch.rand(300, 8, 12, 12, requires_grad=True)
    output = module(images)
    if windows_and_macs.is_pointwise(module) or unit == "lrn":
        assert window == Window()  # norms average over positions, which receptive fields usually ignore
        return
    middle = [side // 2 for side in output.shape[2:]]
    (output[:, :, middle[0], middle[1]] if middle else output).sum().backward()
    assert images.grad is not None
    reached = images.grad.abs().sum((0, 1)).nonzero()
    first, last = reached.amin(0).tolist(), reached.amax(0).tolist()
    for axis in range(2):
        start = (middle[axis] * window.stride[axis] if middle else 0) - window.padding[axis]
        begin = math.ceil(start - 0.5)  # the first position whose center is inside
        assert first[axis] == max(0, begin), unit
        assert last[axis] == min(11, begin + window.size[axis] - 1), unit


@pytest.mark.parametrize(("mode", "side"), [("nearest", 1), ("bilinear", 2), ("bicubic", 4)])
def test_the_window_of_upsampling_is_that_of_its_mode(mode: str, side: int) -> None:
    assert windows_and_macs.window(nn.Upsample(scale_factor=2, mode=mode), (1, 8, 8), (1, 16, 16)) == Window(
        (side, side), (0.5, 0.5), (side / 2 - 0.25, side / 2 - 0.25)
    )


def test_a_layer_that_leaves_an_answer_out_cannot_be_built() -> None:
    class Silent(MeasuredLayer, nn.Module):
        def window(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Window:
            return Window()

    with pytest.raises(TypeError, match=r"abstract method '?macs"):
        Silent()  # type: ignore[abstract]


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_has_a_color_or_is_a_note_in_the_drawing(unit: str) -> None:
    assert {windows_and_macs.kind(call.module) for call in calls_of(unit)} <= COLORS.keys()


class Halved(MeasuredLayer, nn.Module):
    """A layer from outside, which answers for itself."""

    kind = "pool"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, ::2, ::2]

    def window(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Window:
        return Window(stride=(2, 2))

    def macs(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        return 7


def test_a_layer_answers_for_itself() -> None:
    calls = trace(nn.Sequential(nn.Conv2d(1, 1, 3), Halved(), nn.Conv2d(1, 1, 3)), (1, 9, 9)).calls
    assert [call.sources for call in calls] == [(INPUT,), (0,), (1,)]
    assert [field.longest_side for field in fields_of_calls(calls) if field] == [3, 3, 7]
    assert windows_and_macs.macs(calls[1].module, (1, 7, 7), (1, 4, 4)) == 7
    assert windows_and_macs.kind(calls[1].module) == "pool"


def test_a_layer_called_by_keyword_is_counted_too() -> None:
    class ByKeyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(input=x)

    (call,) = trace(ByKeyword(), (1, 5, 5)).calls
    assert (call.name, call.sources, call.input_shape, call.output_shape) == ("conv", (INPUT,), (1, 5, 5), (2, 3, 3))
