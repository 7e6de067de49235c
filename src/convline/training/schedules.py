"""Build learning-rate schedules, each a plain function of the optimizer step.

Each function below takes the length of the run and returns `factor(step)`, for `LambdaLR`: in optimizer step `step` the
learning rate is `lr * factor(step)`. Steps count from 0 to `total_steps - 1`. A schedule that falls to 0 would reach it
in the step after the last, as torch's `CosineAnnealingLR(T_max=total_steps)`, so that the last step trains too. The
scheduler classes of torch.optim mix steps and epochs, and need `SequentialLR` for a warm-up; a function needs no state,
and a test can check its values.
"""

import inspect
import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Concatenate, Literal, ParamSpec

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

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


def _progress(step: int, total_steps: int, reach_final: bool) -> float:
    """Return how far a schedule has come: 0 in the first step, 1 in the one after the last, or in the last one."""
    return min(1.0, step / max(1, total_steps - reach_final))


@_with_warmup
def constant(total_steps: int, steps_per_epoch: int) -> Factor:
    """Keep the learning rate constant."""
    return lambda step: 1.0


@_with_warmup
def step(total_steps: int, steps_per_epoch: int, every: int, gamma: float) -> Factor:
    """Multiply the learning rate by `gamma` after every `every` epochs, counted from the end of the warm-up."""
    return lambda step: gamma ** (step // (every * steps_per_epoch))


@_with_warmup
def cosine(total_steps: int, steps_per_epoch: int, final: float = 0.0, reach_final: bool = False) -> Factor:
    """Decrease the factor from 1 to `final` along half a cosine.

    Args:
        total_steps, steps_per_epoch: length of the run.
        final: the factor of the step after the last.
        reach_final: the last step itself has the factor `final`: with 0, it changes no weight.

    Source: Loshchilov & Hutter, "SGDR", ICLR 2017, eq. 5, without restarts.
    """
    return lambda step: final + (1 - final) * (1 + math.cos(math.pi * _progress(step, total_steps, reach_final))) / 2


@_with_warmup
def linear(total_steps: int, steps_per_epoch: int, final: float = 0.0, reach_final: bool = False) -> Factor:
    """Change the factor linearly from 1 to `final`; see `cosine`."""
    return lambda step: 1 + (final - 1) * _progress(step, total_steps, reach_final)


def onecycle(
    total_steps: int,
    steps_per_epoch: int,
    warmup: float = 0.3,
    initial: float = 0.04,
    final: float = 4e-6,
    reach_final: bool = False,
) -> Factor:
    """Raise the factor from `initial` to 1 along half a cosine, then lower it to `final` along another.

    The rise takes the first `warmup` (fraction) of the run. Momentum is not cycled. For `reach_final` see `cosine`.

    Source: Smith & Topin, "Super-Convergence", 2018, in the cosine form of
    `torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=False)`, whose div_factor is 1 / `initial`. Without
    `reach_final`, these are the first `total_steps` of its `total_steps + 1` steps.
    """
    last_step = total_steps - reach_final
    peak_step = warmup * (last_step + 1) - 1

    def factor(step: int) -> float:
        if step < peak_step:
            lowest, height = initial, step / peak_step
        else:
            lowest, height = final, 1 - (step - peak_step) / max(1.0, last_step - peak_step)
        # height goes from 0 to 1 and back to 0; half a cosine smooths both ways
        return lowest + (1 - lowest) * (1 - math.cos(math.pi * min(1.0, max(0.0, height)))) / 2

    return factor


class Schedule:
    """Step a schedule: a function of this module after each optimizer step, a scheduler of torch as often as it wants.

    Args:
        make: called with `total_steps` and `steps_per_epoch`, returns a factor; or called with the optimizer, returns a
            scheduler of torch.optim, or one like it.
        optimizer: the optimizer.
        total_steps, steps_per_epoch: optimizer steps of the run and of an epoch.
        interval: when a scheduler of torch is stepped; None: each step if it has a total number of steps, else each
            epoch.
        monitor: the metric of an epoch that `ReduceLROnPlateau` gets.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        optimizer: Optimizer,
        total_steps: int,
        steps_per_epoch: int,
        interval: Literal["epoch", "step"] | None = None,
        monitor: str = "val/loss",
    ) -> None:
        function, keywords = (make.func, make.keywords) if isinstance(make, partial) else (make, {})
        names = inspect.signature(function, follow_wrapped=False).parameters
        if "optimizer" in names:
            self._every_step = (interval or ("step" if "total_steps" in names else "epoch")) == "step"
            total = total_steps if self._every_step else -(-total_steps // steps_per_epoch)
            counts = {"total_steps": total} if "total_steps" in names and _wants_total(keywords) else {}
            self.scheduler: LRScheduler = make(optimizer, **counts, **_rates_of_groups(keywords, optimizer))
        else:
            factor = make(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
            self.scheduler = LambdaLR(optimizer, factor)
            self._every_step = True
        self._monitor = monitor

    def step(self) -> None:
        """Step after an optimizer step."""
        if self._every_step:
            self.scheduler.step()

    def end_epoch(self, metrics: dict[str, float]) -> None:
        """Step after an epoch, with its metrics; without validation, what depends on that is not stepped."""
        if self._every_step:
            return
        if isinstance(self.scheduler, ReduceLROnPlateau):
            if self._monitor.startswith("val/") and not any(name.startswith("val/") for name in metrics):
                return
            if self._monitor not in metrics:
                raise ValueError(f"scheduler.monitor={self._monitor} is not measured: there are {', '.join(metrics)}")
            self.scheduler.step(metrics[self._monitor])
        else:
            self.scheduler.step()


def _wants_total(keywords: dict[str, Any]) -> bool:
    """Return whether nothing says yet how long the schedule is, as for `OneCycleLR`."""
    return keywords.get("total_steps") is None and "epochs" not in keywords


def _rates_of_groups(keywords: dict[str, Any], optimizer: Optimizer) -> dict[str, list[float]]:
    """Return a learning rate for each parameter group where a schedule of torch has one for all, as `OneCycleLR` has.

    A group whose learning rate is a tenth of the optimizer's has a tenth of the schedule's.
    """
    shares = [group["lr"] / optimizer.defaults["lr"] for group in optimizer.param_groups]
    named = {key: keywords[key] for key in ("max_lr", "base_lr") if isinstance(keywords.get(key), int | float)}
    return {key: [rate * share for share in shares] for key, rate in named.items() if set(shares) != {1.0}}
