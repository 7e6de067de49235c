"""Declare, beside a figure's function, what the figure needs of a run beside the network and its data."""

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_DRAWN_FROM_PREDICTIONS: set[Callable[..., Any]] = set()


def from_predictions(draw: F) -> F:
    """Mark a figure as drawn from the stored predictions, which exist only once the run has been tested."""
    _DRAWN_FROM_PREDICTIONS.add(draw)
    return draw


def needs_predictions(draw: Callable[..., Any]) -> bool:
    """Return whether a figure can be drawn only once the run has been tested."""
    return draw in _DRAWN_FROM_PREDICTIONS
