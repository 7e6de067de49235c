"""Images with several labels: trained, resumed, evaluated, drawn, compared; and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convline.data.datamodule import DataModule
from convline.data.sources import Images
from convline.errors import UserError
from convline.training.evaluation import Evaluation
from convline.training.metrics import count_correct
from support.commands import assert_one_screen, convline, run_dirs, train
from support.run_files import without_the_kill

WORDS = [
    "data=folder",
    "data.root=lights",
    "data.source.labels=labels.csv",
    "data.image_size=6",
    "data.batch_size=16",
    "trainer=cpu",
    "trainer.max_epochs=3",
    "optimizer.lr=0.3",
    'model.pattern="FC"',
]


@pytest.fixture
def lights(tmp_path: Path) -> Path:
    """120 images in which each color channel is bright if its label is set."""
    rng = np.random.default_rng(0)
    lines = ["id,red,green,blue"]
    (tmp_path / "lights" / "images").mkdir(parents=True)
    for number in range(120):
        labels = rng.random(3) < 0.4
        pixels = rng.normal(60, 10, (6, 6, 3)) + 120 * labels
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "lights" / "images" / f"{number}.png")
        lines.append(",".join([str(number), *map(str, labels.astype(int))]))
    (tmp_path / "lights" / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_run_from_the_csv_to_the_figures(lights: Path) -> None:
    done = train(lights, *WORDS, "loss=bce", "metrics=[map,exact_match]", "callbacks.checkpoint.monitor=val/map")
    assert done.status == 0, done.err
    assert done.err == ""
    assert "multi-label images: the accuracy is the mean over all labels" in done.out
    assert "not drawn of images with several labels: confusion_matrix" in done.out
    (run_dir,) = run_dirs(lights)
    summary = json.loads((run_dir / "summary.json").read_text())
    with np.load(run_dir / "predictions" / "test.npz") as saved:
        logits, labels = saved["logits"], saved["labels"]
    assert labels.shape == (24, 3)
    correct = (logits > 0) == (labels == 1)
    assert summary["metrics"]["test/acc"] == pytest.approx(correct.mean())
    assert summary["metrics"]["test/exact_match"] == pytest.approx(correct.all(axis=1).mean())
    assert summary["metrics"]["test/acc"] > 0.9
    assert summary["class_accuracy"]["test"]["green"] == pytest.approx(correct[:, 1].mean(), abs=1e-6)
    assert (run_dir / "pictures" / "top_losses.png").exists()
    evaluated = convline(lights, "evaluate", str(run_dir))
    assert f"test/acc {correct.mean():.6f}" in evaluated.out
    assert_one_screen(convline(lights, "figures", str(run_dir), "--only", "confusion_matrix"), "but these have several")
    assert convline(lights, "figures", str(run_dir), "--only", "translation").status == 0
    assert convline(lights, "report", "runs").status == 0


@pytest.mark.slow
def test_a_resumed_run_is_the_one_that_was_not_stopped(lights: Path) -> None:
    words = [*WORDS, "loss=bce", "callbacks=plain", "data.augment=[mixup]", "runs_dir=whole"]
    assert train(lights, *words).status == 0
    stop = "+callbacks.kill={_target_: support.kill_at.KillAt, step: 7, signum: 15}"
    assert train(lights, *words[:-1], stop).status == 143
    (run_dir,) = run_dirs(lights)
    without_the_kill(run_dir)
    assert train(lights, f"resume={run_dir}").status == 0
    (whole,) = (path.parent for path in (lights / "whole").glob("*/summary.json"))
    results = [json.loads((path / "summary.json").read_text())["metrics"] for path in (whole, run_dir)]
    assert results[0] == results[1]


@pytest.mark.slow
def test_two_models_are_compared_on_the_same_images(lights: Path) -> None:
    words = [*WORDS[:-1], "loss=bce", "callbacks=plain", "trainer.max_epochs=1", "-m", "seed=0,1"]
    done = train(lights, *words, "optimizer.lr=0.01,0.5")
    assert done.status == 0, done.err
    (sweep,) = (lights / "runs").glob("*_sweep")
    compared = convline(lights, "compare", str(sweep), "--by", "lr")
    assert compared.status == 0, compared.err
    assert "bootstrap, 24 images" in compared.out
    assert "McNemar" not in compared.out


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ([], ["several labels each, but CrossEntropy takes one", "Type: loss=bce"]),
        (["loss=focal"], ["Focal takes one label"]),
        (["loss=bce", "classifier.class_weights=balanced"], ["class_weights=balanced belongs to loss=cross_entropy"]),
        (["loss=bce", "data.label_noise=0.1"], ["data.label_noise=0.1", "data.label_noise=0"]),
        (["loss=bce", "metrics=[top5]"], ["metrics=top5 is not defined", "exact_match"]),
        (["loss=bce", "data.source.labels=label.csv"], ["there is no file", "did you mean 'labels.csv'"]),
        (["loss=bce", "data.source.column=rad"], ["no such column", "did you mean 'red'"]),
    ],
)
def test_a_wrong_combination_is_refused_before_training(words: list[str], texts: list[str], lights: Path) -> None:
    assert_one_screen(train(lights, *WORDS, *words), *texts)
    assert run_dirs(lights) == []


def test_labels_that_are_not_0_or_1_are_refused() -> None:
    images = Images(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.full((4, 2), 0.5), ("a", "b"))
    with pytest.raises(UserError, match="a column of 0 and 1 for each of the 2 classes"):
        DataModule(lambda split: images, (1, 2, 2), 2, 1, 1).read()


def test_an_image_counts_by_its_share_of_correct_labels() -> None:
    logits = torch.tensor([[1.0, -1, 1, -1], [1, 1, 1, 1]])
    labels = torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 1]])
    assert count_correct(logits, labels, is_multilabel=True).item() == pytest.approx(0.75 + 1)
    evaluation = Evaluation(logits, labels)
    assert evaluation.accuracy == pytest.approx(7 / 8)
    assert evaluation.class_accuracy() == [1, 1, 0.5, 1]
    assert evaluation.is_correct.tolist() == [False, True]
    # a label that is in the image to 0.3 is predicted correctly to 0.3
    assert count_correct(logits[:1, :1], torch.tensor([[0.3]]), is_multilabel=True).item() == pytest.approx(0.3)
