"""One contract over every unit of the language: it can be built, has a receptive field, and counts its work."""

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
        weights = [p for p in call.module.parameters(recurse=False) if p.ndim > 1]  # norms scale by vectors alone
        count = windows_and_macs.macs(call.module, call.input_shape or (), call.output_shape)
        assert (count > 0) == bool(weights) or unit == "gausspool", f"{call.name} counts {count}"


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
