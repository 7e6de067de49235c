"""Which runs TensorBoard's HParams tab shows as one."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from convline.callbacks.hparams import _group
from convline.config import load_config


def group(folder: Path, *words: str) -> str:
    OmegaConf.save(load_config(["data=digits", *words]), folder / "config.yaml", resolve=True)
    (folder / "summary.json").write_text('{"status": "running", "choices": {"data": "digits"}}')
    return _group(folder)


@pytest.mark.parametrize(
    "word",
    [
        "data.label_noise=0.5",
        "data.per_class=20",
        "data.fold=1",
        "data.image_size=16",
        "data/augment=mnist",
        "classifier.class_weights=balanced",
        "classifier.accumulate_grad_batches=2",
        "optimizer.lr=0.01",
        "model=dense",
    ],
)
def test_runs_that_compute_something_else_are_apart(word: str, tmp_path: Path) -> None:
    assert group(tmp_path, word) != group(tmp_path)


def test_seeds_and_what_changes_nothing_are_together(tmp_path: Path) -> None:
    assert group(tmp_path, "seed=3", "data.loader=dataloader", "runs_dir=elsewhere") == group(tmp_path)
