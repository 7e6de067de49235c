"""Train and evaluate a network (LightningModule, metrics, learning-rate schedules), and load trained runs."""

from convline.training.classifier import Classifier
from convline.training.evaluation import Evaluation
from convline.training.loaded_run import LoadedRun, load_run

__all__ = ["Classifier", "Evaluation", "LoadedRun", "load_run"]
