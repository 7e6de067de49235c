"""Map the values of a setting to an axis: few values side by side, many numbers on a linear or logarithmic scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convline.formatting import setting_text, shortened
from convline.reporting.configurations import ABSENT
from convline.reporting.plots.style import Point

FEW = 8  # values that are set side by side, in order


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


def effect(axis: Scale, points: Sequence[Point]) -> float:
    """Compute the correlation ratio η² of a setting: the fraction, 0 to 1, of the metric's variance that it explains.

    If the scale is not "side by side", the configurations are first divided into eight groups of about equal size.

    Source: Fisher, "Statistical Methods for Research Workers", 1925.
    """
    position_and_metric = sorted((position(axis, p), p.y) for p in points if has_setting(p, axis.key))
    groups: dict[float, list[float]] = {}
    for index, (x, y) in enumerate(position_and_metric):
        groups.setdefault(x if axis.kind == "side by side" else index * FEW // len(position_and_metric), []).append(y)
    mean = math.fsum(y for _, y in position_and_metric) / len(position_and_metric)
    total = math.fsum((y - mean) ** 2 for _, y in position_and_metric)
    between = math.fsum(len(ys) * (math.fsum(ys) / len(ys) - mean) ** 2 for ys in groups.values())
    return between / total if total else 0.0
