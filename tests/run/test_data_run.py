"""The data path end to end: what a run with splits, subsets, augmentation and views leaves behind."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from support.commands import SMALL, Done, convline, run_dirs, train

WORDS = [
    *SMALL,
    "data.channels=3",
    "data.image_size=12",
    "data.source.shape=[1,8,8]",
    "data.train_fraction=0.5",
    "data.label_noise=0.1",
    "data.imbalance=2",
    "classifier.class_weights=balanced",
    "data.augment=[flip, crop(2), cutmix]",
    "tta=flip+shift",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    folder = tmp_path_factory.mktemp("data")
    done = train(folder, *WORDS)
    assert done.status == 0, done.err
    (run_dir,) = run_dirs(folder)
    return run_dir, done


def test_the_run_says_what_it_trains_on(finished: tuple[Path, Done]) -> None:
    _, done = finished
    assert "validation images 3×12×12, 10 classes\nstored as 1×8×8, fitted batch by batch" in done.out
    assert "averaged over views" in done.out


def test_the_split_is_recorded_and_done_again_bit_for_bit(finished: tuple[Path, Done]) -> None:
    run_dir, _ = finished
    split = json.loads((run_dir / "environment.json").read_text())["split"]
    assert split["val"] == 60
    assert 150 < split["train"] < 270  # of 270, less the long tail
    from convline.records.directory import read_config
    from convline.training.setup import build

    data, _ = build(read_config(run_dir))
    assert data.split_record() == split


def test_views_are_reported_beside_the_plain_figures_and_computed_again(finished: tuple[Path, Done]) -> None:
    run_dir, _ = finished
    metrics = json.loads((run_dir / "summary.json").read_text())["metrics"]
    assert {"test/acc", "test/acc_tta", "test/loss_tta", "val/acc_tta"} <= metrics.keys()
    assert metrics["test/loss"] != metrics["test/loss_tta"]
    again = convline(run_dir.parents[1], "evaluate", str(run_dir), "--tta", "flip+shift")
    assert f"test/acc {metrics['test/acc']:.6f}" in again.out
    assert f"test/acc_tta {metrics['test/acc_tta']:.6f}" in again.out


def test_training_images_are_pictured_once(finished: tuple[Path, Done]) -> None:
    run_dir, _ = finished
    picture = np.asarray(Image.open(run_dir / "pictures" / "training_images.png"))
    assert picture.shape == (8 * 50, 8 * 50, 3)  # 12 pixels enlarged four times, and a frame of one
    events = EventAccumulator(str(run_dir)).Reload()
    assert len(events.Images("training images")) == 1
    first = picture[1:49, 1:49]
    assert (first == first[::4, ::4].repeat(4, 0).repeat(4, 1)).all()
    assert (picture[:, 0] == 255).all()


def test_data_that_changed_are_refused(finished: tuple[Path, Done], tmp_path: Path) -> None:
    run_dir, _ = finished
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("summary.json", "environment.json"):
        (copy / name).write_text((run_dir / name).read_text())
    text = (run_dir / "config.yaml").read_text()
    assert "noise: 0.6" in text
    (copy / "config.yaml").write_text(text.replace("noise: 0.6", "noise: 0.5"))
    (copy / "checkpoints").mkdir()
    (copy / "checkpoints" / "best.ckpt").write_bytes((run_dir / "checkpoints" / "best.ckpt").read_bytes())
    done = convline(tmp_path, "evaluate", str(copy))
    assert done.status == 1
    assert "the data are not those that" in done.err
    (copy / "summary.json").write_text('{"status": "interrupted", "seconds": 1.0}')
    done = train(tmp_path, f"resume={copy}")
    assert done.status == 1
    assert "the data are not those that" in done.err


@pytest.mark.slow
def test_cross_validation_is_a_sweep(tmp_path: Path) -> None:
    done = train(tmp_path, "-m", *SMALL, "data.num_folds=3", "data.fold=range(3)", "trainer=one_batch")
    assert done.status == 0, done.err
    splits = [json.loads((run / "environment.json").read_text())["split"] for run in run_dirs(tmp_path)]
    assert [split["val"] for split in splits] == [200, 200, 200]
    assert len({split["fingerprint"] for split in splits}) == 3


@pytest.mark.slow
def test_a_mirrored_digit_is_warned_of(tmp_path: Path) -> None:
    done = train(tmp_path, "trainer=one_batch", "trainer.accelerator=cpu", "data.augment=[flip]")
    assert done.status == 0, done.err
    assert "warning: data.augment has flip, but a mirrored image" in done.out
