"""The average of the weights: how much of the first ones it keeps."""

import math

import pytest

from convline.training.averaging import decay_of_update


def test_the_decay_grows_to_the_one_that_is_set() -> None:
    assert [decay_of_update(0.9, n) for n in (0, 1, 8, 79, 80, 81, 10_000)] == pytest.approx(
        [1 / 10, 2 / 11, 9 / 18, 80 / 89, 0.9, 0.9, 0.9]
    )


def share_of_first_weights(decay: float, num_steps: int) -> float:
    return math.prod(decay_of_update(decay, n) for n in range(1, num_steps))


@pytest.mark.parametrize("decay", [0.9, 0.999, 0.9999])
def test_less_than_5_percent_of_the_first_weights_are_left_after_the_third_step(decay: float) -> None:
    assert share_of_first_weights(decay, 3) < 0.05
    assert share_of_first_weights(decay, 205) < 1e-9  # a constant decay of 0.999 leaves 0.82
