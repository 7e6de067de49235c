"""A folder of PNGs, by the real commands: trained with one of them, described, evaluated, and what goes wrong."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from support.commands import Running, assert_one_screen, convline, run_dirs, train

COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
SHORT = [
    "data=folder",
    "data.image_size=8",
    "data.batch_size=16",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=3",
    'model.pattern="CONV(4) -> RELU -> POOL -> FC"',
]


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Sixty noisy images of three colours and of mixed sizes."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (tmp_path / "colours" / name).mkdir(parents=True)
        for i in range(20):
            noisy = np.array(colour) + rng.normal(0, 30, (8 + i, 40 - i, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / "colours" / name / f"{i}.png")
    return tmp_path / "colours"


def test_one_command_trains_and_the_run_can_be_evaluated(colours: Path, tmp_path: Path) -> None:
    (colours / "notes.txt").touch()
    done = train(tmp_path, *SHORT, "data.root=colours")
    assert done.status == 0, done.err
    assert "43 training and 5 validation images 3×8×8, 3 classes" in done.out
    assert "1 file without the ending of an image (notes.txt)" in done.out
    (run_dir,) = run_dirs(tmp_path)
    cfg = OmegaConf.load(run_dir / "config.yaml")
    assert cfg.data.num_classes == 3
    assert cfg.data.root == str(colours)
    with np.load(run_dir / "predictions" / "test.npz") as predictions:
        labels, hits = predictions["labels"], predictions["logits"].argmax(1) == predictions["labels"]
    assert np.bincount(labels).tolist() == [4, 4, 4]
    assert hits.mean() > 0.9
    # from elsewhere, by the run directory alone
    (tmp_path / "elsewhere").mkdir()
    again = convline(tmp_path / "elsewhere", "evaluate", str(run_dir))
    assert again.status == 0, again.err
    assert "test/acc of green: 1.0000" in again.out
    # and where the images were moved
    colours.rename(tmp_path / "moved")
    assert_one_screen(convline(tmp_path, "evaluate", str(run_dir)), "colours is not there", "data.root=FOLDER")
    moved = convline(tmp_path, "evaluate", str(run_dir), "data.root=moved")
    assert moved.status == 0, moved.err
    assert "test/acc of green: 1.0000" in moved.out


def test_describe_counts_the_classes(colours: Path, tmp_path: Path) -> None:
    done = convline(tmp_path, "describe", *SHORT[:2], *SHORT[5:], "data.root=colours")
    assert done.status == 0, done.err
    assert " 3 " in next(line for line in done.out.splitlines() if "fc" in line)


@pytest.mark.slow
def test_a_folder_that_has_changed_is_not_what_a_run_goes_on_with(colours: Path, tmp_path: Path) -> None:
    stop = "+callbacks.kill={_target_: support.kill_at.KillAt, step: 4, signum: 15}"
    assert train(tmp_path, *SHORT, "data.root=colours", stop).status == 143
    (colours / "blue").rename(colours / "violet")
    (run_dir,) = run_dirs(tmp_path)
    assert_one_screen(train(tmp_path, f"resume={run_dir}"), "not those that", "was trained on")
    (colours / "violet").rename(colours / "blue")
    assert train(tmp_path, f"resume={run_dir}").status == 0


@pytest.mark.slow
def test_broken_images_are_refused_or_skipped_as_the_config_says(colours: Path, tmp_path: Path) -> None:
    (colours / "red" / "3.png").write_bytes((colours / "red" / "3.png").read_bytes()[:-100])
    done = train(tmp_path, *SHORT, "data.root=colours")
    assert_one_screen(done, "1 of 60 images", "red/3.png: ", "data.source.broken=skip")
    assert run_dirs(tmp_path) == []
    done = train(tmp_path, *SHORT, "data.root=colours", "data.source.broken=skip", "trainer.max_epochs=1")
    assert done.status == 0, done.err
    assert "red/3.png: " in done.out
    assert "They are left out" in done.out


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ([], ["data.root has no value", "type data.root=FOLDER"]),
        (["data.root=nowhere"], ["data.root=nowhere is not there", "type data.root=FOLDER"]),
        (["data.root=colours/red"], ["20 images lie directly in colours/red"]),
        (["data.root=."], ["holds one folder only, colours", "type data.root=colours"]),
        (["data.root=colours", "data.source.resize=fit"], ["data.source.resize=fit", "crop, squash"]),
        (["data.root=colours", "data.source.test_fraction=1"], ["data.source.test_fraction=1", "below 1"]),
        (["data.root=colours", "data.channels=2"], ["data.channels=2"]),
    ],
)
def test_a_mistake_is_explained_before_anything_is_trained(
    words: list[str], texts: list[str], colours: Path, tmp_path: Path
) -> None:
    done = train(tmp_path, "data=folder", *words)
    assert_one_screen(done, *texts)
    assert run_dirs(tmp_path) == []


@pytest.mark.slow
def test_interrupted_decoding_leaves_no_half_array(colours: Path, tmp_path: Path) -> None:
    """The files are many, so that the signal comes while they are decoded."""
    for i in range(20, 3000):
        os.link(colours / "red" / "0.png", colours / "red" / f"{i}.png")
    cache = Path(os.environ["CONVLINE_CACHE"]) / "folders"
    running = Running([*SHORT, "data.root=colours", "data.image_size=256"], tmp_path)
    while running.process.is_alive() and not list(cache.glob("*/*.tmp")):
        time.sleep(0.005)
    assert running.process.pid is not None
    os.kill(running.process.pid, signal.SIGINT)
    done = running.wait()
    assert done.status == 130, done.err
    assert "interrupted" in done.err
    assert not list(cache.glob("*/*.tmp"))
