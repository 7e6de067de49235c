"""Build learning-rate schedules, each a plain function of the optimizer step.

Each function below takes the length of the run and returns `factor(step)`, for `LambdaLR`: in optimizer step `step` the
learning rate is `lr * factor(step)`. Steps count from 0 to `total_steps - 1`. The scheduler classes of torch.optim mix
steps and epochs, and need `SequentialLR` for a warm-up; a function needs no state, and a test can check its values.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

Factor = Callable[[int], float]
P = ParamSpec("P")


def _with_warmup(
    schedule: Callable[Concatenate[int, int, P], Factor],
) -> Callable[Concatenate[int, int, float, P], Factor]:
    """Add a linear warm-up over the first `warmup` (fraction of the run); the schedule takes the remaining steps."""

    @wraps(schedule)
    def schedule_with_warmup(
        total_steps: int, steps_per_epoch: int, warmup: float = 0.0, *args: P.args, **kwargs: P.kwargs
    ) -> Factor:
        warmup_steps = round(warmup * total_steps)
        factor = schedule(max(1, total_steps - warmup_steps), steps_per_epoch, *args, **kwargs)
        return lambda step: (step + 1) / warmup_steps if step < warmup_steps else factor(step - warmup_steps)

    return schedule_with_warmup


def _progress(step: int, total_steps: int) -> float:
    """Return the completed fraction of the run: 0 in the first step, 1 in the last."""
    return min(1.0, step / max(1, total_steps - 1))


@_with_warmup
def constant(total_steps: int, steps_per_epoch: int) -> Factor:
    """Keep the learning rate constant."""
    return lambda step: 1.0


@_with_warmup
def step(total_steps: int, steps_per_epoch: int, every: int, gamma: float) -> Factor:
    """Multiply the learning rate by `gamma` after every `every` epochs, counted from the end of the warm-up."""
    return lambda step: gamma ** (step // (every * steps_per_epoch))


@_with_warmup
def cosine(total_steps: int, steps_per_epoch: int, final: float = 0.0) -> Factor:
    """Decrease the factor from 1 to `final` along half a cosine.

    Source: Loshchilov & Hutter, "SGDR", ICLR 2017, eq. 5, without restarts.
    """
    return lambda step: final + (1 - final) * (1 + math.cos(math.pi * _progress(step, total_steps))) / 2


@_with_warmup
def linear(total_steps: int, steps_per_epoch: int, final: float = 0.0) -> Factor:
    """Change the factor linearly from 1 to `final`."""
    return lambda step: 1 + (final - 1) * _progress(step, total_steps)


def onecycle(
    total_steps: int, steps_per_epoch: int, warmup: float = 0.3, initial: float = 0.04, final: float = 4e-6
) -> Factor:
    """Raise the factor from `initial` to 1 along half a cosine, then lower it to `final` along another.

    The rise takes the first `warmup` (fraction) of the run. Momentum is not cycled.

    Source: Smith & Topin, "Super-Convergence", 2018, in the cosine form of
    `torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=False)`, whose div_factor is 1 / `initial`.
    """
    peak_step = warmup * total_steps - 1

    def factor(step: int) -> float:
        if step < peak_step:
            lowest, height = initial, step / peak_step
        else:
            lowest, height = final, 1 - (step - peak_step) / max(1.0, total_steps - 1 - peak_step)
        # height goes from 0 to 1 and back to 0; half a cosine smooths both ways
        return lowest + (1 - lowest) * (1 - math.cos(math.pi * min(1.0, max(0.0, height)))) / 2

    return factor
