"""What a lesson's networks were trained with, read from its experiments, so that it is what a run gets."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from convline.lessons.lesson import Study

HEAD = ("runs", "weights begin as", "loss", "optimizer", "learning rate", "batch", "epochs", "pixels", "validation")


def rows(studies: Sequence[Study], words: Sequence[str]) -> list[tuple[str, ...]]:
    """A row for each set of settings, under `HEAD`; studies that share one share its row.

    Args:
        studies: of a lesson.
        words: further settings of every run.
    """
    names: dict[tuple[str, ...], list[str]] = {}
    for study in studies:
        names.setdefault(_settings(study.experiment, *study.words, *words), []).append(study.folder)
    return [(", ".join(folders), *settings) for settings, folders in names.items()]


@functools.cache
def _settings(experiment: str, *words: str) -> tuple[str, ...]:
    from convline.config.compose import load_config

    cfg = load_config([f"experiment={experiment}", *words])
    smoothing = cfg.classifier.label_smoothing
    augmented = f"; augmented: {cfg.data.augment}" if cfg.data.augment else ""
    return (
        str(cfg.model.init),
        "cross-entropy" + (f", labels smoothed by {smoothing:g}" if smoothing else ""),
        _call(cfg.optimizer),
        _call(cfg.scheduler),
        str(cfg.data.batch_size),
        str(cfg.trainer.max_epochs),
        ("0 to 1" if cfg.data.normalize == "unit" else "standardised") + augmented,
        f"{cfg.data.val_size:,} images" if cfg.data.val_size else f"{cfg.data.val_fraction:.0%} of the images",
    )


def _call(node: Any) -> str:
    """`SGD(lr=0.05, momentum=0.9)` of what Hydra would call."""
    values = (f"{key}={value}" for key, value in node.items() if not key.startswith("_"))
    return f"{node['_target_'].rpartition('.')[2]}({', '.join(values)})"
