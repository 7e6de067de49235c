"""Draw figures of a trained network: each is a function that takes a run and returns a matplotlib figure.

A figure has one name: its function, its file pictures/NAME.png in the run directory, its tag pictures/NAME in
TensorBoard and in trackers, and NAME in `convline figures RUN_DIR --only NAME`. To add one, write the function in a
file of that name, or in that of a figure that shares its code, export it from this module, and add it to `BY_NAME`, and
to `NEED_PREDICTIONS` if it is drawn from the stored predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from convline.errors import UserError
from convline.figures.attribution import attribution
from convline.figures.calibration import calibration
from convline.figures.confusion_matrix import confusion_matrix, confusion_matrix_normalized
from convline.figures.feature_maps import feature_maps
from convline.figures.feature_visualization import feature_visualization
from convline.figures.filters import filters
from convline.figures.predictions import predictions, top_losses
from convline.figures.receptive_fields import receptive_fields
from convline.figures.translation import translation
from convline.formatting import nearest
from convline.training.loaded_run import RunOrPath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "BY_NAME",
    "FORMER_NAMES",
    "NEED_PREDICTIONS",
    "ONE_LABEL",
    "attribution",
    "by_name",
    "calibration",
    "canonical_name",
    "confusion_matrix",
    "confusion_matrix_normalized",
    "feature_maps",
    "feature_visualization",
    "filters",
    "predictions",
    "receptive_fields",
    "top_losses",
    "translation",
]

BY_NAME: dict[str, Callable[[RunOrPath], Figure]] = {
    draw.__name__: draw
    for draw in (
        filters,
        feature_maps,
        predictions,
        top_losses,
        confusion_matrix,
        confusion_matrix_normalized,
        calibration,
        attribution,
        receptive_fields,
        feature_visualization,
        translation,
    )
}
# Figures that are drawn from the stored predictions, which exist only once the run has been tested.
NEED_PREDICTIONS = frozenset(
    draw.__name__ for draw in (predictions, top_losses, confusion_matrix, confusion_matrix_normalized, calibration)
)
# Figures of images with one label each.
ONE_LABEL = frozenset(draw.__name__ for draw in (confusion_matrix, confusion_matrix_normalized))
# Names of the first edition: configs of older runs and scripts still use them.
FORMER_NAMES = {
    "mistakes": "top_losses",
    "confusion": "confusion_matrix",
    "confusion_normalised": "confusion_matrix_normalized",
    "reliability": "calibration",
    "explanations": "attribution",
    "preferences": "feature_visualization",
    "shifts": "translation",
}
_FORMER_ARGUMENTS = {"part": "split", "normalised": "normalized"}


def canonical_name(name: str) -> str:
    """Map a former name of a figure to its present name; a present name is returned unchanged.

    Raises:
        UserError: there is no such figure.
    """
    current = FORMER_NAMES.get(name, name)
    if current not in BY_NAME:
        raise UserError(f"there is no picture '{name}'{nearest(name, BY_NAME)}.\n  Pictures: {', '.join(BY_NAME)}")
    return current


def by_name(name: str) -> Callable[[RunOrPath], Figure]:
    """Look up the function that draws a figure, by its present or a former name.

    Raises:
        UserError: there is no such figure.
    """
    return BY_NAME[canonical_name(name)]


if not TYPE_CHECKING:  # a type checker shall report a misspelled attribute

    def __getattr__(name: str) -> Any:
        """Look up a figure by a former name, so that `figures.confusion(run, part="test")` still works in scripts."""
        if name not in FORMER_NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        draw = BY_NAME[FORMER_NAMES[name]]

        def draw_with_former_arguments(*args: Any, **kwargs: Any) -> Figure:
            return draw(*args, **{_FORMER_ARGUMENTS.get(key, key): value for key, value in kwargs.items()})

        return draw_with_former_arguments
