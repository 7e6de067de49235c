"""Map the values of a setting to an axis: few values side by side, many numbers on a linear or logarithmic scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convline.formatting import setting_text, shortened
from convline.reporting.configurations import ABSENT
from convline.reporting.plots.style import Point

FEW = 8  # values that are set side by side, in order
TAIL = 0.025  # on each side of a 95 % interval


@dataclass(frozen=True)
class Scale:
    """Map the values of a setting to positions on an axis.

    Args:
        key: key of the setting.
        values: the distinct values, in order.
        kind: "side by side", "linear" or "log".
    """

    key: str
    values: tuple[Any, ...]
    kind: str

    def position(self, value: Any) -> float:
        """Compute the position of a value: its index if side by side, otherwise the number or its logarithm."""
        if self.kind == "side by side":
            return float(self.values.index(value))
        return math.log10(value) if self.kind == "log" else float(value)

    def ticks(self) -> tuple[list[float], list[str]]:
        """Compute positions and labels of the ticks: at every value, or at a few round numbers between the ends."""
        if self.kind == "side by side":
            return [float(i) for i in range(len(self.values))], [shortened(setting_text(v), 14) for v in self.values]
        from matplotlib.ticker import MaxNLocator

        low, high = self.position(self.values[0]), self.position(self.values[-1])
        if self.kind == "log" and high - low < 3:  # decades are too few: 1, 2 and 5 of each
            candidates = [d * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for d in (1, 2, 5)]
            positions = [math.log10(number) for number in candidates]
        elif self.kind == "log":
            step = math.ceil((high - low) / 6)
            positions = [float(e) for e in range(math.floor(low), math.ceil(high) + 1, step)]
        else:
            positions = [float(position) for position in MaxNLocator(5).tick_values(low, high)]
        margin = 1e-9 * (high - low)
        positions = [position for position in positions if low - margin <= position <= high + margin]
        return positions, [f"{10**position if self.kind == 'log' else position:.6g}" for position in positions]


def has_setting(point: Point, key: str) -> bool:
    """Return whether a configuration has the setting."""
    return point.row.value(key) != ABSENT


def make_scale(key: str, points: Sequence[Point]) -> Scale | None:
    """Choose the scale of a setting; None if all configurations that have it have the same value."""
    values: list[Any] = []
    for point in points:
        value = _hashable(point.row.value(key))
        if has_setting(point, key) and value not in values:
            values.append(value)
    if len(values) < 2:
        return None
    are_numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    values.sort(key=lambda v: (v is not None, isinstance(v, str), v if isinstance(v, int | float) else 0, str(v)))
    if len(values) <= FEW or not are_numbers:
        return Scale(key, tuple(values), "side by side")
    return Scale(key, tuple(values), "log" if spreads_over_decades(values) else "linear")


def spreads_over_decades(numbers: Sequence[float]) -> bool:
    """Return whether the median of sorted numbers is nearer to the middle on a log scale than on a linear one."""
    low, median, high = numbers[0], numbers[len(numbers) // 2], numbers[-1]
    if low <= 0 or high <= 3 * low:
        return False
    log_position = math.log(median / low) / math.log(high / low)
    return abs(log_position - 0.5) < abs((median - low) / (high - low) - 0.5)


def _hashable(value: Any) -> Any:
    return setting_text(value) if isinstance(value, list) else value


def position(axis: Scale, point: Point) -> float:
    """Compute the position of a configuration on an axis."""
    return axis.position(_hashable(point.row.value(axis.key)))


@dataclass(frozen=True)
class Effect:
    """Hold the share of the metric's variance that a setting explains beyond chance, with its 95 % interval."""

    share: float
    low: float
    high: float


def effect(axis: Scale, points: Sequence[Point]) -> Effect:
    """Compute ω² of a setting: an estimate of the share, 0 to 1, of the metric's variance that it explains.

    The share within the sample, η², favors settings with many values: by chance alone k groups among N configurations
    get (k − 1) / (N − 1). If the scale is not "side by side", the configurations are first divided into at most eight
    groups of about equal size, each of two at least. Without two configurations of one value nothing is known of the
    spread beside the setting: the share is 0, its interval nan.

    Sources: Hays, "Statistics for Psychologists", 1963; the interval from the noncentral F distribution: Steiger,
    "Beyond the F test", Psychological Methods 2004.
    """
    position_and_metric = sorted((position(axis, p), p.y) for p in points if has_setting(p, axis.key))
    num_points = len(position_and_metric)
    num_groups = min(FEW, max(num_points // 2, 1))
    groups: dict[float, list[float]] = {}
    for index, (x, y) in enumerate(position_and_metric):
        groups.setdefault(x if axis.kind == "side by side" else index * num_groups // num_points, []).append(y)
    between_freedom, within_freedom = len(groups) - 1, num_points - len(groups)
    if between_freedom < 1 or within_freedom < 1:
        return Effect(0.0, math.nan, math.nan)
    mean = math.fsum(y for _, y in position_and_metric) / num_points
    total = math.fsum((y - mean) ** 2 for _, y in position_and_metric)
    between = math.fsum(len(ys) * (math.fsum(ys) / len(ys) - mean) ** 2 for ys in groups.values())
    within_variance = max(total - between, 0.0) / within_freedom
    if total == 0:
        return Effect(0.0, math.nan, math.nan)
    share = max(0.0, (between - between_freedom * within_variance) / (total + within_variance))
    if within_variance <= 1e-12 * total:
        return Effect(share, math.nan, math.nan)
    f = between / between_freedom / within_variance
    low, high = (_noncentrality(between_freedom, within_freedom, f, 1 - tail) for tail in (TAIL, 1 - TAIL))
    return Effect(share, low / (low + num_points), high / (high + num_points))


def _noncentrality(between_freedom: int, within_freedom: int, f: float, probability: float) -> float:
    """Find the noncentrality at which F lies below `f` with this probability; 0 if it does so with none."""
    from scipy import optimize, stats

    def distance(noncentrality: float) -> float:
        return float(stats.ncf.cdf(f, between_freedom, within_freedom, noncentrality)) - probability

    if distance(1e-9) <= 0:
        return 0.0
    upper = 1.0
    while distance(upper) > 0:
        upper *= 2
    return float(optimize.brentq(distance, 1e-9, upper))
