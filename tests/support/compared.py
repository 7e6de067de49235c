"""Made-up runs of two models, and their predictions, to be compared."""

from pathlib import Path

import numpy as np

from convline.reporting.comparison import Comparison, comparison, find_groups
from support.made_runs import base_config, make_run

CONFIG = base_config()
LABELS = np.arange(400) % 4


def made(
    folder: Path, accuracy: float, model: str = "lenet", seed: int = 0, lr: float = 0.1, **summary: object
) -> Path:
    """A finished run without predictions; its test accuracy is `accuracy`, its validation accuracy 0.2 points more."""
    settings = {"model.pattern": model, "optimizer.lr": lr, "seed": seed}
    return make_run(folder, CONFIG, settings, accuracy + 0.002, {"model": model}, **summary)


def predict(run: Path, right: np.ndarray, labels: np.ndarray = LABELS, part: str = "test") -> Path:
    """Save logits that are right where it is said."""
    chosen = np.where(right, labels, (labels + 1) % 4)
    logits = np.eye(4, dtype=np.float32)[chosen] * 3
    (run / "predictions").mkdir(exist_ok=True)
    np.savez(run / "predictions" / f"{part}.npz", logits=logits, labels=labels)
    return run


def two_models(folder: Path, a: list[float], b: list[float]) -> list[str]:
    for model, figures in (("lenet", a), ("dense", b)):
        for seed, accuracy in enumerate(figures):
            made(folder / model / f"seed={seed}", accuracy, model, seed)
    return [str(folder / "lenet"), str(folder / "dense")]


def comparison_of(folders: list[str], metric: str = "test/acc") -> Comparison:
    first, second = find_groups(folders, None, metric)
    return comparison(first, second, metric)


def three_models(folder: Path, *figures: list[float]) -> None:
    for model, values in zip(("lenet", "dense", "alexnet"), figures, strict=True):
        for seed, accuracy in enumerate(values):
            made(folder / model / f"seed={seed}", accuracy, model, seed)
