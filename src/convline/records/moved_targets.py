"""Map each former `_target_` in a stored config to the present import path of the class or function.

The config.yaml of a run directory is not changed; `with_current_targets` is applied whenever it is read.
"""

from collections.abc import Mapping
from typing import Any

MOVED_TARGETS = {
    "convline.callbacks.class_accuracy.ClassAccuracy": "convline.callbacks.class_metrics.ClassAccuracy",
    "convline.callbacks.description.Description": "convline.callbacks.run_description.Description",
    "convline.callbacks.memory.Memory": "convline.callbacks.training_cost.Memory",
    "convline.callbacks.pictures.Pictures": "convline.callbacks.figures.Pictures",
    "convline.callbacks.pr_curves.PrCurves": "convline.callbacks.class_metrics.PrCurves",
    "convline.callbacks.throughput.Throughput": "convline.callbacks.training_cost.Throughput",
    "convline.classifier.Classifier": "convline.training.classifier.Classifier",
    "convline.data.module.DataModule": "convline.data.datamodule.DataModule",
    "convline.metrics_csv.MetricsCsv": "convline.training.csv_logger.MetricsCsv",
    **{
        f"convline.optim.{name}": f"convline.training.schedules.{name}"
        for name in ("constant", "cosine", "linear", "onecycle", "step")
    },
}

# What a function under its former name did before it became a setting.
FORMER_SETTINGS = {f"convline.optim.{name}": {"reach_final": True} for name in ("cosine", "linear", "onecycle")}


def with_current_targets(node: Any) -> Any:
    """Return a copy of a config, as plain containers, in which every moved `_target_` is the present one."""
    if isinstance(node, Mapping):
        target = node.get("_target_")
        return (FORMER_SETTINGS.get(target, {}) if isinstance(target, str) else {}) | {
            key: MOVED_TARGETS.get(value, value)
            if key == "_target_" and isinstance(value, str)
            else with_current_targets(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [with_current_targets(value) for value in node]
    return node
