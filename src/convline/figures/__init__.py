"""Pictures of what a network has learned: one function each, run directory in, matplotlib figure out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from convline.errors import UserError, nearest
from convline.figures.attribution import explanations
from convline.figures.calibration import reliability
from convline.figures.confusion_matrix import confusion
from convline.figures.feature_maps import feature_maps
from convline.figures.feature_visualization import preferences
from convline.figures.filters import filters
from convline.figures.predictions import predictions
from convline.figures.receptive_fields import receptive_fields
from convline.figures.top_losses import mistakes
from convline.figures.translation import shifts
from convline.training.loaded_run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "BY_NAME",
    "OF_PREDICTIONS",
    "by_name",
    "confusion",
    "explanations",
    "feature_maps",
    "filters",
    "mistakes",
    "predictions",
    "preferences",
    "receptive_fields",
    "reliability",
    "shifts",
]

BY_NAME: dict[str, Callable[[Run], Figure]] = {
    "filters": filters,
    "feature_maps": feature_maps,
    "predictions": predictions,
    "mistakes": mistakes,
    "confusion": confusion,
    "confusion_normalised": partial(confusion, normalised=True),
    "reliability": reliability,
    "explanations": explanations,
    "receptive_fields": receptive_fields,
    "preferences": preferences,
    "shifts": shifts,
}
# Those that are drawn of what the tested network said, which is known when the run has ended.
OF_PREDICTIONS = ("predictions", "mistakes", "confusion", "confusion_normalised", "reliability")


def by_name(name: str) -> Callable[[Run], Figure]:
    """The function of a picture's name.

    Raises:
        UserError: there is none.
    """
    if name not in BY_NAME:
        raise UserError(f"there is no picture '{name}'{nearest(name, BY_NAME)}.\n  Pictures: {', '.join(BY_NAME)}")
    return BY_NAME[name]
