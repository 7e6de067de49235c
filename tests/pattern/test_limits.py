"""Numbers that no machine could hold, and windows whose middle lies between two positions."""

import pytest
import torch

from convline.network.build import build_network
from convline.network.summary import summarize
from convline.pattern.source import PatternError

HUGE = 10**23


@pytest.mark.parametrize(
    "pattern",
    [
        f"conv({HUGE}) -> fc",
        f"fc({HUGE}) -> fc",
        f"conv(8, 3, stride={HUGE}) -> fc",
        f"lrn({HUGE}) -> fc",
        f"pool(2, {HUGE}) -> fc",
        "leaky_relu(1e300) -> fc",
        "gausspool(2, 2, valid, 1e-300) -> fc",
        "pool(60001, 32, same) -> fc",
        f"conv({'*'.join(['9' * 29] * 20)}*1.5) -> fc",
    ],
)
def test_absurd_numbers_are_errors_of_the_pattern(pattern: str) -> None:
    with pytest.raises(PatternError) as caught:
        build_network(pattern, (3, 32, 32), 10)
    assert caught.value.column >= 1
    assert len(str(caught.value).splitlines()) <= 4


@pytest.mark.parametrize("unit", ["conv", "local"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_dirac_is_the_identity_for_odd_and_even_windows(unit: str, kernel: int) -> None:
    network = build_network(f"{unit}(1, {kernel}, pad=same, bias=false) -> fc", (1, 6, 6), 2, init="dirac")
    image = torch.randn(1, 1, 6, 6)
    assert torch.allclose(next(network.children())(image), image)


@pytest.mark.parametrize("padding", ["same", "1"])
def test_gausspool_does_not_look_at_its_padding(padding: str) -> None:
    network = build_network(f"gausspool(3, 1, {padding}) -> fc", (1, 6, 6), 2)
    ones = torch.ones(1, 1, 6, 6)
    assert torch.allclose(next(network.children())(ones), ones)


def test_adaptive_pooling_sees_its_widest_window() -> None:
    # 32 positions in 5 windows: 0-6, 6-12, 12-19 (8 positions), 19-25, 25-31; before them 7 pixels each
    table = summarize(build_network("conv(8, 7, pad=3) -> adaptivepool(5) -> fc", (3, 32, 32), 10), (3, 32, 32))
    (layer,) = (layer for layer in table.layers if layer.name.startswith("adaptivepool"))
    assert layer.receptive_field == 14
