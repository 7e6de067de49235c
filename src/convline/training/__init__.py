"""Train and evaluate: the LightningModule, its metrics and schedules, and runs that are read back."""

from convline.training.classifier import Classifier
from convline.training.evaluation import Evaluation
from convline.training.loaded_run import LoadedRun, load_run

__all__ = ["Classifier", "Evaluation", "LoadedRun", "load_run"]
