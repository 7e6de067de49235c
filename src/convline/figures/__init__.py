"""Pictures of what a network has learned: one function each, run directory in, matplotlib figure out."""

from convline.figures.activation_maximisation import preferences
from convline.figures.confusion_matrix import confusion
from convline.figures.explanation import explanations
from convline.figures.first_filters import filters
from convline.figures.layer_maps import feature_maps
from convline.figures.prediction_grid import predictions
from convline.figures.receptive_fields import receptive_fields
from convline.figures.reliability_diagram import reliability
from convline.figures.shift_curve import shifts
from convline.figures.worst_mistakes import mistakes

__all__ = [
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
