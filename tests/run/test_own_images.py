"""What holds for images of one's own, however they come in: run, resumed, swept, reported."""

from pathlib import Path

import pytest
import torch

from support.commands import assert_one_screen, convline, run_dirs, train
from support.own_images import write_folder
from support.run_files import curves, summary, weights, without_the_kill

MODULE = ["data=datamodule", "data.module._target_=support.own_images.BarsModule"]
DOORS = {
    "dataset": ["data=digits", "data.source._target_=support.own_images.BarsDataset", "data.num_classes=2"],
    "function": ["data=digits", "data.source._target_=support.own_images.function_of_the_split", "data.num_classes=2"],
    "imagefolder": ["data=folder", "data.root=folder", "data.image_size=8", "data.channels=1"],
    "datamodule": MODULE,
}
SHORT = [
    "trainer=cpu",
    "trainer.max_epochs=3",
    "callbacks=plain",
    "callbacks.checkpoint.every_n_steps=2",
    "steps_per_execution=2",
    'model.pattern="CONV(4) -> RELU -> POOL -> DROPOUT(0.3) -> FC"',
]


@pytest.mark.slow
@pytest.mark.parametrize("door", [pytest.param(d, marks=() if d == "datamodule" else pytest.mark.slow) for d in DOORS])
def test_run_resumed_swept_and_reported(door: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "folder")
    words = [*DOORS[door], *SHORT, *([] if door == "datamodule" else ["data.batch_size=16"])]
    swept = train(tmp_path, *words, "-m", "seed=0,1")
    assert swept.status == 0, swept.err
    whole, other = (next((tmp_path / "runs").rglob(f"seed={seed}")) for seed in (0, 1))
    assert summary(whole)["status"] == summary(other)["status"] == "finished"
    assert weights(whole).keys() == weights(other).keys()
    # the ninth step is within the second epoch, which has six or seven
    kill = "+callbacks.kill={_target_: support.kill_at.KillAt, step: 9}"
    killed = train(tmp_path, *words, "runs_dir=killed/runs", kill)
    assert killed.status == -9, killed.err
    (run_dir,) = run_dirs(tmp_path / "killed")
    without_the_kill(run_dir)
    resumed = train(tmp_path, f"resume={run_dir}")
    assert resumed.status == 0, resumed.err
    left, right = weights(whole), weights(run_dir)
    assert all(torch.equal(left[key], right[key]) for key in left)
    assert curves(whole) == curves(run_dir)
    assert summary(whole)["metrics"] == summary(run_dir)["metrics"]
    evaluated = convline(tmp_path, "evaluate", str(run_dir))
    assert f"test/acc {summary(whole)['metrics']['test/acc']:.6f}" in evaluated.out, evaluated.err
    assert convline(tmp_path, "report", "runs").status == 0


@pytest.mark.slow
def test_two_ways_to_the_same_test_images_are_compared(tmp_path: Path) -> None:
    for door in ("function", "datamodule"):
        assert train(tmp_path, *DOORS[door], *SHORT, "trainer.max_epochs=1").status == 0
    compared = convline(tmp_path, "compare", "runs", "--by", "data")
    assert compared.status == 0, compared.err
    assert "function_of_the_split" in compared.out
    assert "About these two networks only: of 40 test images" in compared.out
    assert train(tmp_path, "data=digits", *SHORT, "trainer.max_epochs=1", "runs_dir=others/runs").status == 0
    other = convline(tmp_path, "compare", "runs", "others", "--by", "data=digits,BarsModule")
    assert_one_screen(other, "were not evaluated on the same test images", "Compare runs on the same images")


@pytest.mark.slow
def test_the_figures_of_a_data_module_show_its_images(tmp_path: Path) -> None:
    done = train(tmp_path, *MODULE, "trainer=cpu", "trainer.max_epochs=1", "tta=flip")
    assert done.status == 0, done.err
    assert done.err == ""
    assert "96 training and 24 validation images 1×8×8, 2 classes" in done.out
    (run_dir,) = run_dirs(tmp_path)
    assert run_dir.name.endswith("_lenet_BarsModule")
    names = {path.stem for path in (run_dir / "pictures").glob("*.png")}
    assert {"training_images", "predictions", "top_losses", "confusion_matrix", "attribution"} <= names
    figures = ("receptive_fields", "feature_visualization", "translation")
    drawn = convline(tmp_path, "figures", str(run_dir), *(word for name in figures for word in ("--only", name)))
    assert drawn.status == 0, drawn.err


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["data.module.bach_size=3"], ["no such argument", "did you mean 'batch_size'"]),
        (["data.batch_size=3"], ["'data.batch_size': there is no such setting"]),
        (["data.augment=[flip]"], ["data.augment has no effect", "BarsModule"]),
        (["classifier.class_weights=balanced"], ["needs the labels of all training images"]),
        (["trainer.overfit_batches=1"], ["trainer.overfit_batches", "limit_train_batches=1"]),
        pytest.param(["trainer.devices=2"], ["one device", "trainer.devices=1"], marks=pytest.mark.slow),
        (["data.module.form=list"], ["train_dataloader gives list instead of one loader"]),
        (["data.module.form=no length"], ["has no length"]),
        (["data.module.form=no test"], ["test_dataloader fails: there is none"]),
        (["data.module.form=more classes"], ["a test batch has labels of 3 classes", "data.num_classes=3"]),
        (["data.module.form=multilabel"], ["several labels each", "loss=bce"]),
        (["data.num_classes=1"], ["data.num_classes=1"]),
    ],
)
def test_what_a_data_module_cannot_do_is_refused(words: list[str], texts: list[str], tmp_path: Path) -> None:
    assert_one_screen(train(tmp_path, *MODULE, "trainer=cpu", *words), *texts)
    assert run_dirs(tmp_path) == []


def test_commands_before_a_run_take_a_data_module(tmp_path: Path) -> None:
    described = convline(tmp_path, "describe", *MODULE, "data.module.batch_size=4")
    assert described.status == 0, described.err
    assert "1×8×8" in described.out
    found = convline(tmp_path, "lr-find", *MODULE, "--steps", "20")
    assert found.status == 0, found.err
    assert_one_screen(convline(tmp_path, "batch-size-find", *MODULE), "whose size cannot be changed here")


def test_the_place_of_a_data_module_is_named(tmp_path: Path) -> None:
    target = "support.own_images.BarsModule"
    assert_one_screen(train(tmp_path, f"data._target_={target}"), f"data=datamodule data.module._target_={target}")
    assert_one_screen(train(tmp_path, "data=datamodule"), "data.module._target_=PACKAGE.CLASS")
    wrong = ["data.module._target_=support.own_images.BarsDataset", "data.module.train=true"]
    wrong = train(tmp_path, "data=datamodule", *wrong)
    assert_one_screen(wrong, "is no LightningDataModule", "data.source._target_=")
