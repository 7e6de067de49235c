"""Translate Hydra's lists, ranges and intervals into the distributions of an Optuna search space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from convline.config.overrides import parse_overrides, sweep_values
from convline.config.schema import is_of_sweeps
from convline.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Dimension:
    """Describe a dimension of the search space: one setting with its distribution.

    Args:
        key: the setting's key in the config.
        distribution: its Optuna distribution.
        texts: each value of a list with its text on the command line; empty for ranges and intervals.
    """

    key: str
    distribution: BaseDistribution
    texts: Sequence[tuple[Any, str]] = ()

    def override(self, value: Any) -> str:
        """Return the override that sets this value."""
        # compared with its type, since 1 == True, but their texts differ
        matches = [text for item, text in self.texts if (type(item), item) == (type(value), value)]
        return f"{self.key}={matches[0] if matches else repr(value)}"

    def extremes(self) -> list[Any]:
        """Return every value of a list; the lowest and the highest of an interval or a range."""
        if self.texts:
            return [value for value, _ in self.texts]
        numbers: Any = self.distribution
        return [numbers.low, numbers.high]

    def grid(self) -> list[Any]:
        """Return all values of a list or a range.

        Raises:
            UserError: the dimension is an interval.
        """
        if self.texts:
            return [value for value, _ in self.texts]
        numbers: Any = self.distribution
        if numbers.step is None or numbers.log:
            raise UserError(f"{self.key} has an interval, but sweep/sampler=grid takes lists and ranges alone.")
        num_values = round((numbers.high - numbers.low) / numbers.step) + 1
        return [numbers.low + index * numbers.step for index in range(num_values)]


def parse_space(overrides: Sequence[str], space: Mapping[str, str]) -> tuple[list[str], list[Dimension]]:
    """Split overrides into those that every trial shares and the dimensions of the search space.

    Args:
        overrides: overrides of the command line; a setting that has one value there is not searched.
        space: settings and their lists, ranges or intervals, from `conf/sweep/`.
    Raises:
        UserError: the space is empty, or a dimension is invalid.
    """
    parsed = parse_overrides(overrides)
    keys = {override.key_or_group for override in parsed}
    searched = [override for override in parsed if override.is_sweep_override()]
    fixed = [text for text, override in zip(overrides, parsed, strict=True) if override not in searched]
    searched_by_config = parse_overrides([f"{key}={text}" for key, text in space.items() if key not in keys])
    for override in searched_by_config:
        if not override.is_sweep_override():
            raise UserError(f"sweep.space: {override.input_line} is one value, not a list, a range or an interval.")
    dimensions = [_dimension(override) for override in (*searched, *searched_by_config)]
    if not dimensions:
        raise UserError(
            "a search needs something to search.\n"
            "  Type an interval, such as 'optimizer.lr=tag(log,interval(0.001,0.1))', or choose a file: sweep=lenet_lr"
        )
    return [override for override in fixed if not is_of_sweeps(override)], dimensions


def _dimension(override: Override) -> Dimension:
    """Translate one override of Hydra's grammar.

    Raises:
        UserError: its list, range or interval cannot be searched.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    key, content, text = override.get_key_element(), override.value(), override.input_line
    if key == "seed":
        raise UserError(f"{text}: a seed is nothing to choose. Search with one, then type seeds=5 with the best trial.")
    if isinstance(content, IntervalSweep):
        low, high, log = content.start, content.end, "log" in content.tags
        if low is None or high is None or low >= high or (log and low <= 0):
            raise UserError(f"{text}: an interval goes from a lower to a higher number{', above 0' if log else ''}.")
        if isinstance(low, int) and isinstance(high, int):
            return Dimension(key, IntDistribution(low, high, log=log))
        return Dimension(key, FloatDistribution(low, high, log=log))
    if isinstance(content, RangeSweep):
        numbers: list[Any] = list(content.range())
        if len(numbers) < 2 or "log" in content.tags:
            raise UserError(f"{text}: a range has several numbers and even steps; for others there is interval(…).")
        distribution: Any = IntDistribution if all(isinstance(number, int) for number in numbers) else FloatDistribution
        return Dimension(key, distribution(min(numbers), max(numbers), step=abs(content.step)))
    texts = sweep_values(override)
    values = [parse_overrides([f"{key}={text}"])[0].value() for text in texts]
    storable = [
        value if isinstance(value, bool | int | float | str | None) else text
        for value, text in zip(values, texts, strict=True)
    ]
    return Dimension(key, CategoricalDistribution(storable), list(zip(storable, texts, strict=True)))
