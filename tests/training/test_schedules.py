"""Learning-rate schedules: sequences by hand, and the ones that torch's own schedulers give."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

from convline.training.schedules import Factor, constant, cosine, linear, onecycle, step


def sequence(factor: Factor, num_steps: int) -> list[float]:
    return [factor(n) for n in range(num_steps)]


def torchs(make: Callable[..., LRScheduler], num_steps: int, **arguments: Any) -> list[float]:
    """The learning rates that a torch scheduler gives to an optimizer with learning rate 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer, **arguments)
    rates = []
    for n in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if n < num_steps - 1:
            scheduler.step()
    return rates


# --- by hand --------------------------------------------------------------------------------------------------------

R = math.sqrt(0.5)
BY_HAND = {
    "constant": (constant(4, 2), [1, 1, 1, 1]),
    "constant, half of it warm-up": (constant(8, 2, warmup=0.5), [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
    "step every epoch": (step(6, 2, every=1, gamma=0.1), [1, 1, 0.1, 0.1, 0.01, 0.01]),
    "step every two epochs": (step(6, 2, every=2, gamma=0.5), [1, 1, 1, 1, 0.5, 0.5]),
    "step after a warm-up": (step(6, 2, every=1, gamma=0.1, warmup=0.34), [0.5, 1, 1, 1, 0.1, 0.1]),
    "linear": (linear(4, 1), [1, 0.75, 0.5, 0.25]),
    "linear to a tenth": (linear(3, 1, final=0.1), [1, 0.7, 0.4]),
    "linear after a warm-up": (linear(6, 1, warmup=0.33), [0.5, 1, 1, 0.75, 0.5, 0.25]),
    "cosine": (cosine(4, 1), [1, (1 + R) / 2, 0.5, (1 - R) / 2]),
    "cosine to a fifth": (cosine(2, 1, final=0.2), [1, 0.6]),
    "cosine after a warm-up": (cosine(4, 1, warmup=0.5), [0.5, 1, 1, 0.5]),
    # up in four steps from 0.2 (half-way 0.6), down in four to 0, of which the last is not taken
    "onecycle": (
        onecycle(8, 3, warmup=5 / 9, initial=0.2, final=0.0),
        [0.2, 0.6 - 0.4 * R, 0.6, 0.6 + 0.4 * R, 1, (1 + R) / 2, 0.5, (1 - R) / 2],
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_sequence_by_hand(case: str) -> None:
    factor, expected = BY_HAND[case]
    assert sequence(factor, len(expected)) == pytest.approx(expected, abs=1e-12)


MAKERS: dict[str, Callable[..., Factor]] = {
    "constant": constant,
    "step": lambda *a, **k: step(*a, every=1, gamma=0.5, **k),
    "cosine": cosine,
    "linear": linear,
    "onecycle": onecycle,
}


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("total_steps", [1, 2, 3, 10, 97])
@pytest.mark.parametrize("name", MAKERS)
def test_factors_lie_between_0_and_1_also_in_the_step_after_the_last(
    name: str, total_steps: int, warmup: float
) -> None:
    factors = sequence(MAKERS[name](total_steps, 1, warmup=warmup), total_steps + 1)
    assert all(0 <= value <= 1 + 1e-12 for value in factors)


@pytest.mark.parametrize("total_steps", [1, 2, 3, 10, 97])
@pytest.mark.parametrize("name", ["cosine", "linear", "onecycle"])
def test_the_last_step_trains_and_the_one_after_it_would_have_the_final_factor(name: str, total_steps: int) -> None:
    factor = MAKERS[name](total_steps, 1, final=0.0)
    assert factor(total_steps - 1) > 0
    assert factor(total_steps) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "linear"])
def test_warmup_rises_in_equal_steps_to_1_and_leaves_the_shape_to_the_rest(name: str) -> None:
    warmed, plain = MAKERS[name](50, 5, warmup=0.2), MAKERS[name](40, 5)
    assert sequence(warmed, 10) == pytest.approx([n / 10 for n in range(1, 11)])
    assert [warmed(10 + n) for n in range(40)] == sequence(plain, 40)


@pytest.mark.parametrize("name", MAKERS)
def test_a_factor_has_no_memory(name: str) -> None:
    factor = MAKERS[name](20, 5, warmup=0.2)
    forwards = sequence(factor, 20)
    assert [factor(n) for n in reversed(range(20))] == forwards[::-1]


# --- torch's --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach_final", [False, True])
@pytest.mark.parametrize("warmup", [0.1, 0.25, 0.3, 0.5, 0.77])
@pytest.mark.parametrize("total_steps", [20, 101])
@pytest.mark.parametrize(("initial", "final"), [(0.04, 4e-6), (0.1, 1e-3)])
def test_onecycle_is_torchs_with_and_without_its_last_step(
    total_steps: int, warmup: float, initial: float, final: float, reach_final: bool
) -> None:
    torch_factors = torchs(
        OneCycleLR,
        total_steps,
        max_lr=1.0,
        total_steps=total_steps + (not reach_final),
        pct_start=warmup,
        div_factor=1 / initial,
        final_div_factor=initial / final,
        cycle_momentum=False,
    )
    factors = sequence(onecycle(total_steps, 5, warmup, initial, final, reach_final), total_steps)
    assert factors == pytest.approx(torch_factors, abs=1e-9)


def test_onecycles_defaults_are_torchs() -> None:
    torch_factors = torchs(OneCycleLR, 40, max_lr=1.0, total_steps=41, cycle_momentum=False)
    assert sequence(onecycle(40, 5), 40) == pytest.approx(torch_factors, abs=1e-9)


@pytest.mark.parametrize("reach_final", [False, True])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_is_torchs(final: float, reach_final: bool) -> None:
    torch_factors = torchs(CosineAnnealingLR, 30, T_max=30 - reach_final, eta_min=final)
    assert sequence(cosine(30, 5, final=final, reach_final=reach_final), 30) == pytest.approx(torch_factors, abs=1e-9)


@pytest.mark.parametrize(("every", "gamma"), [(1, 0.5), (2, 0.1), (3, 0.9)])
def test_step_is_torchs_counted_in_epochs(every: int, gamma: float) -> None:
    torch_factors = torchs(StepLR, 35, step_size=every * 5, gamma=gamma)
    assert sequence(step(35, 5, every=every, gamma=gamma), 35) == pytest.approx(torch_factors, rel=1e-9)


@pytest.mark.parametrize("reach_final", [False, True])
def test_linear_is_torchs(reach_final: bool) -> None:
    steps = 30 - reach_final
    torch_factors = torchs(torch.optim.lr_scheduler.LinearLR, 30, start_factor=1.0, end_factor=0.2, total_iters=steps)
    assert sequence(linear(30, 5, final=0.2, reach_final=reach_final), 30) == pytest.approx(torch_factors, abs=1e-9)
