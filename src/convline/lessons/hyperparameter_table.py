"""Build the table of a lesson's hyperparameters from the configs of its experiments, which its runs use."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from convline.config.signatures import OUR_OWN
from convline.lessons.lesson import LessonSweep

HEADER = (
    "runs",
    "initialization",
    "loss",
    "optimizer",
    "learning rate",
    "batch size",
    "epochs",
    "pixels",
    "validation",
)


def hyperparameter_rows(sweeps: Sequence[LessonSweep], overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """Build one row, under `HEADER`, for each set of hyperparameters; sweeps with the same ones share a row.

    Args:
        sweeps: sweeps of a lesson.
        overrides: further overrides of every run.
    """
    folders: dict[tuple[str, ...], list[str]] = {}
    for sweep in sweeps:
        folders.setdefault(_row(sweep.experiment, *sweep.overrides, *overrides), []).append(sweep.folder)
    return [(", ".join(names), *row) for row, names in folders.items()]


@functools.cache
def _row(experiment: str, *overrides: str) -> tuple[str, ...]:
    from convline.config import load_config  # imported late because importing is slow

    cfg = load_config([f"experiment={experiment}", *overrides])
    smoothing = cfg.classifier.label_smoothing
    augmentation = f"; augmented: {cfg.data.augment}" if cfg.data.augment else ""
    return (
        str(cfg.model.init),
        "cross-entropy" + (f", labels smoothed by {smoothing:g}" if smoothing else ""),
        _call(cfg.optimizer),
        _call(cfg.scheduler),
        str(cfg.data.batch_size),
        str(cfg.trainer.max_epochs),
        ("0 to 1" if cfg.data.normalize == "unit" else "standardized") + augmentation,
        f"{cfg.data.val_size:,} images" if cfg.data.val_size else f"{cfg.data.val_fraction:.0%} of the images",
    )


def _call(node: Any) -> str:
    """Write a config node as the call that Hydra makes of it: `SGD(lr=0.05, momentum=0.9)`."""
    arguments = (
        f"{key}={value}"
        for key, value in node.items()
        # the grouping of the parameters is an argument of Convline's, named only where it is used
        if not (key.startswith("_") or (key in OUR_OWN["optimizer"] and not value))
    )
    return f"{node['_target_'].rpartition('.')[2]}({', '.join(arguments)})"
