"""Which runs TensorBoard's HParams tab shows as one, and how it says that they ended."""

import signal
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from convline.callbacks.hparams import _columns, flat_settings, group_name, varied_settings
from convline.config import load_config, load_configs
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


def settings(*words: str, varied: tuple[str, ...] = ()) -> dict[str, object]:
    ((cfg, options),) = load_configs([["data=digits", *words]])
    return flat_settings(cfg, options, varied)


def test_an_option_whose_content_was_replaced_says_so() -> None:
    assert settings()["data/augment"] == "none"
    assert settings("data/augment=mnist")["data/augment"] == "mnist"
    assert settings('data.augment=["crop(1)","cutout(2)"]')["data/augment"] == "[crop(1), cutout(2)]"
    assert settings()["model"] == "lenet"
    assert settings('model.pattern="FC(16) -> RELU -> FC"')["model"] == "lenet with pattern=FC(16) -> RELU -> FC"
    assert settings("optimizer._target_=torch.optim.NAdam")["optimizer"] == "NAdam"


def test_every_setting_that_changes_a_result_has_a_value() -> None:
    found = settings("model=pattern", "model.N=2", "data.image_size=12", "data.val_fraction=0.3")
    assert (found["model.N"], found["data.image_size"], found["data.val_fraction"]) == (2, 12, 0.3)
    assert found["optimizer.nesterov"] is True
    assert found["classifier.ema_decay"] is None
    assert not {"runs_dir", "name", "data.num_workers", "model._target_", "data.augment"} & set(found)


def test_what_a_sweep_varies_is_a_column_that_is_shown() -> None:
    varied = varied_settings({"swept": ["model.N=2", "steps_per_execution=4", "seed=1", "model=pattern"]})
    found = settings("model=pattern", varied=tuple(varied))
    columns = {info.name: info.differs for info in _columns(found, varied, ["acc"]).hparam_infos}
    shown = {name for name, is_shown in columns.items() if is_shown}
    assert shown >= {"model.N", "steps_per_execution", "model"}
    assert not shown & {"seed", "data.val_fraction"}


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
