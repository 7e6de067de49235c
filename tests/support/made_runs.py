"""Run directories that no training made: the same files with made-up figures, to measure and test what reads them."""

import csv
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from omegaconf import OmegaConf

from convline.config import load_config

NUM_EPOCHS = 8


def base_config() -> dict[str, Any]:
    """The config of the defaults, as a run directory holds it."""
    content = OmegaConf.to_container(load_config(), resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def make_run(
    folder: Path,
    config: Mapping[str, Any],
    settings: Mapping[str, Any],
    accuracy: float,
    choices: Mapping[str, str] | None = None,
    num_epochs: int = NUM_EPOCHS,
    **summary: Any,
) -> Path:
    """Write one finished run.

    Args:
        folder: is made.
        config: the whole config, which is left as it is.
        settings: by dotted key, put over it.
        accuracy: on the validation images, in [0, 1]; all other figures follow from it.
        choices: of config groups, put over model=lenet and data=digits.
        num_epochs: lines of metrics.csv.
        summary: put over what summary.json holds.
    """
    folder.mkdir(parents=True)
    cfg = OmegaConf.create(dict(config))
    for key, value in settings.items():
        OmegaConf.update(cfg, key, value)
    (folder / "config.yaml").write_text(yaml.safe_dump(OmegaConf.to_container(cfg), sort_keys=False))
    code = {"version": "0.1.0", "commit": "0" * 40, "dirty": False, "changes": None}
    _write_json(folder / "environment.json", {"code": code, "data_fingerprint": "00000000deadbeef"})
    metrics = {"val/acc": accuracy, "val/loss": 2 * (1 - accuracy), "train/acc": accuracy, "train/loss": 1 - accuracy}
    metrics |= {"test/acc": accuracy - 0.002, "test/loss": 2 * (1 - accuracy)}
    content = {
        "status": "finished",
        "choices": {"model": "lenet", "data": "digits", "optimizer": "sgd", **(choices or {})},
        "seconds": 20.0,
        "identity": folder.name[:16],
        "started": time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime()),
        "parameters": 61706,
        "macs": 416520,
        "error": None,
        "metrics": metrics,
        "best_epoch": num_epochs,
    }
    _write_json(folder / "summary.json", {**content, **summary})
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "step", "val/loss", "val/acc", "train/loss", "train/acc", "lr"])
        for epoch in range(1, num_epochs + 1):
            now = accuracy - 0.6 * accuracy * math.exp(-epoch)
            writer.writerow([epoch, 40 * epoch, 2 * (1 - now), now, 1 - now, now, 0.05])
    return folder


def make_sweep(folder: Path, num_runs: int, num_seeds: int = 5) -> None:
    """Write a sweep over model, learning rate, batch size and weight decay, with made-up accuracies.

    Args:
        folder: is made, with a job directory for each run.
        num_runs: at least `num_seeds`.
        num_seeds: of each configuration.
    """
    config, noise = base_config(), np.random.default_rng(0)
    models = {"lenet": (61_706, 416_520), "dense": (21_386, 21_120), "resnet20": (272_474, 40_551_424)}
    grid = [
        (model, lr, batch_size, decay)
        for lr in (0.003, 0.01, 0.03, 0.1, 0.3)
        for batch_size in (16, 32, 64, 128)
        for model in models
        for decay in (0.0, 0.0005)
    ]
    for number in range(num_runs):
        model, lr, batch_size, decay = grid[number // num_seeds % len(grid)]
        seed = number % num_seeds + num_seeds * (number // (num_seeds * len(grid)))
        best_lr = 0.05 * batch_size / 32
        height = {"lenet": 0.985, "dense": 0.965, "resnet20": 0.993}[model]
        accuracy = height - 0.012 * math.log(lr / best_lr) ** 2 + 4 * decay + noise.normal(0, 0.004)
        parameters, macs = models[model]
        make_run(
            folder / f"model={model},lr={lr},batch_size={batch_size},weight_decay={decay},seed={seed}",
            config,
            {
                "model.pattern": model,
                "optimizer.lr": lr,
                "data.batch_size": batch_size,
                "optimizer.weight_decay": decay,
                "seed": seed,
            },
            float(np.clip(accuracy, 0.1, 1)),
            {"model": model},
            parameters=parameters,
            macs=macs,
            seconds=float(5 + macs / 1e6 + 200 / batch_size + noise.normal(0, 0.2)),
        )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2))
