"""What a run has left in its directory, as tests read and change it."""

import csv
import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf


def summary(run_dir: Path) -> dict:
    """What summary.json says."""
    return json.loads((run_dir / "summary.json").read_text())


def rows(run_dir: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with open(run_dir / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def curves(run_dir: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without what depends on the machine's speed."""
    return [{k: v for k, v in row.items() if k not in ("images/s", "seconds/epoch")} for row in rows(run_dir)]


def checkpoint(run_dir: Path, name: str) -> dict[str, Any]:
    return torch.load(run_dir / "checkpoints" / f"{name}.ckpt", weights_only=True)


def weights(run_dir: Path, name: str = "last") -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, "last" or "best"."""
    return checkpoint(run_dir, name)["state_dict"]


def without_the_kill(run_dir: Path) -> None:
    """The resumed run is the same one, less the callback that stands in for the power cut."""
    cfg = OmegaConf.load(run_dir / "config.yaml")
    del cfg.callbacks["kill"]
    OmegaConf.save(cfg, run_dir / "config.yaml")
