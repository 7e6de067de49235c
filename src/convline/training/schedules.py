"""Learning-rate schedules, as plain functions of the step.

Each maker takes the length of the run and returns `factor(step)`, by which the optimizer's `lr` is multiplied in the
step with that 0-based number; the last step is `total_steps - 1`. torch's own schedulers disagree about what an epoch
is, and cannot be warmed up without chaining objects; a function can be drawn, tested by hand, and needs no state but
the step.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

Factor = Callable[[int], float]
P = ParamSpec("P")


def _with_warmup(
    maker: Callable[Concatenate[int, int, P], Factor],
) -> Callable[Concatenate[int, int, float, P], Factor]:
    """Give a schedule a linear rise in its first `warmup` (fraction of the run); the rest of the run has its shape."""

    @wraps(maker)
    def warmed(
        total_steps: int, steps_per_epoch: int, warmup: float = 0.0, *args: P.args, **kwargs: P.kwargs
    ) -> Factor:
        rise = round(warmup * total_steps)
        factor = maker(max(1, total_steps - rise), steps_per_epoch, *args, **kwargs)
        return lambda step: (step + 1) / rise if step < rise else factor(step - rise)

    return warmed


def _progress(step: int, total_steps: int) -> float:
    """How much of the run lies behind: 0 in the first step, 1 in the last."""
    return min(1.0, step / max(1, total_steps - 1))


@_with_warmup
def constant(total_steps: int, steps_per_epoch: int) -> Factor:
    """The learning rate as it is."""
    return lambda step: 1.0


@_with_warmup
def step(total_steps: int, steps_per_epoch: int, every: int, gamma: float) -> Factor:
    """Multiply by `gamma` after every `every` epochs (counted from the end of the warm-up)."""
    return lambda step: gamma ** (step // (every * steps_per_epoch))


@_with_warmup
def cosine(total_steps: int, steps_per_epoch: int, final: float = 0.0) -> Factor:
    """Half a cosine from 1 to `final`. Source: Loshchilov & Hutter, "SGDR", ICLR 2017, eq. 5, without restarts."""
    return lambda step: final + (1 - final) * (1 + math.cos(math.pi * _progress(step, total_steps))) / 2


@_with_warmup
def linear(total_steps: int, steps_per_epoch: int, final: float = 0.0) -> Factor:
    """A straight line from 1 to `final`."""
    return lambda step: 1 + (final - 1) * _progress(step, total_steps)


def onecycle(
    total_steps: int, steps_per_epoch: int, warmup: float = 0.3, initial: float = 0.04, final: float = 4e-6
) -> Factor:
    """Half a cosine up from `initial` to 1 in the first `warmup` of the run, then half a cosine down to `final`.

    The learning rate only: momentum is not cycled. Source: Smith & Topin, "Super-Convergence", 2018, in the cosine form
    of `torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=False)`, whose div_factor is 1 / `initial`.
    """
    peak = warmup * total_steps - 1

    def factor(step: int) -> float:
        if step < peak:
            low, done = initial, step / peak
        else:
            low, done = final, 1 - (step - peak) / max(1.0, total_steps - 1 - peak)
        return low + (1 - low) * (1 - math.cos(math.pi * min(1.0, max(0.0, done)))) / 2

    return factor
