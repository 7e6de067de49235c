"""Which runs TensorBoard's HParams tab shows as one, and how it says that they ended."""

import signal
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from convline.callbacks.hparams import group_name
from convline.config import load_config
from support.commands import SMALL, run_dirs, train
from support.run_files import without_the_kill


def group(*words: str) -> str:
    cfg = load_config(["data=digits", *words])
    seed = cfg.seed
    found = group_name(cfg, {"data": "digits"})
    assert cfg.seed == seed
    return found


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
def test_runs_that_compute_something_else_are_apart(word: str) -> None:
    assert group(word) != group()


def test_seeds_and_what_changes_nothing_are_together() -> None:
    assert group("seed=3", "data.loader=dataloader", "runs_dir=elsewhere") == group()


def status(run_dir: Path) -> int:
    """What TensorBoard believes: the first outcome that it finds."""
    content = EventAccumulator(str(run_dir)).Reload().PluginTagToContent("hparams")
    return HParamsPluginData.FromString(content["_hparams_/session_end_info"]).session_end_info.status


@pytest.mark.slow
def test_a_run_that_was_interrupted_and_then_finished_is_a_success(tmp_path: Path) -> None:
    kill = "+callbacks.kill={_target_: support.kill_at.KillAt, step: 20, signum: 15}"
    words = [*(word for word in SMALL if not word.startswith("callbacks")), "callbacks=plain", "trainer.max_epochs=1"]
    assert train(tmp_path, *words, kill).status == 128 + signal.SIGTERM
    (run_dir,) = run_dirs(tmp_path)
    assert status(run_dir) == STATUS_FAILURE
    without_the_kill(run_dir)
    assert train(tmp_path, f"resume={run_dir}").status == 0
    assert status(run_dir) == STATUS_SUCCESS
