"""What a comparison says: its verdict, and what limits it."""

import math
from pathlib import Path

import numpy as np
import pytest

from convline.records import test_log
from convline.reporting.statistics import seeds_needed
from convline.reporting.verdict import paragraphs
from support.compared import comparison_of, made, predict, two_models
from support.made_runs import base_config, make_run


def said(folders: list[str], part: str = "test", figure: str = "acc") -> str:
    return " ".join(paragraphs(comparison_of(folders, f"{part}/{figure}")))


def test_a_clear_difference_is_said(tmp_path: Path) -> None:
    text = said(two_models(tmp_path, [0.990, 0.991, 0.992], [0.970, 0.971, 0.972]))
    assert text.startswith(
        "The data support a difference: model=lenet is better than model=dense in test/acc, by 2.00 points"
    )
    assert "with 95 % confidence between 1.77 and 2.23 points." in text  # 2 ± 2.776 × 0.1 × sqrt(2/3)


def test_the_better_one_is_named_for_a_loss_too(tmp_path: Path) -> None:
    text = said(two_models(tmp_path, [0.990, 0.991, 0.992], [0.970, 0.971, 0.972]), figure="loss")
    assert "model=lenet is better than model=dense in test/loss, by 0.0400" in text


def test_no_difference_says_how_many_seeds_would_settle_it(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.980, 0.982, 0.984], [0.979001, 0.980999, 0.983])  # 0.1 points, deviation 0.2
    needed = seeds_needed(0.001, 0.002, 0.002)
    text = said(folders)
    assert text.startswith(
        "The data do not support a difference: the 95 % interval of A − B over seeds, -0.35 to +0.55"
    )
    assert f"roughly {needed} seeds of each, {needed - 3} more, would confirm it" in text  # type: ignore[operator]
    at_most = seeds_needed(0.001 + 2.776445 * 0.002 * math.sqrt(2 / 3), 0.002, 0.002)
    assert f"; {at_most} if the difference is as large as the interval allows" in text
    assert "Paired by seed (3 pairs), the interval is +0.10 to +0.10 points, which excludes 0." in text
    nearly = said(two_models(tmp_path / "nearly", [0.98, 0.99], [0.98001, 0.99001]))
    assert "more than 1,000 seeds of each would be needed" in nearly
    equal = said(two_models(tmp_path / "equal", [0.98, 0.99], [0.99, 0.98]))
    assert "The means are equal; the true difference may be as large as 3.04 points." in equal  # 4.303 × 1 / sqrt(2)


def test_a_side_that_was_chosen_among_several_is_said_to_be(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.990, 0.991, 0.992], [0.970, 0.971, 0.972])
    for seed, accuracy in enumerate([0.981, 0.980, 0.982]):
        make_run(tmp_path / "lenet" / f"other{seed}", base_config(), {"optimizer.lr": 0.5, "seed": seed}, accuracy)
    text = said(folders)
    # correlation 1: 0.5642 · 0.1 points / √3; above half a standard error
    assert (
        "A was chosen as the best of 2 configurations by val/acc: if in truth they are alike, its mean is too good by "
        "about 0.03 points, and 95 % confidence is not reached." in text
    )
    assert "train it with seeds that chose nothing: --confirm 5" in text
    assert "B was chosen" not in text
    # a loss is too good by that choice as well, although its correlation with the accuracy is negative
    assert "its mean is too good by about 0.0007" in said(folders, figure="loss")


def test_a_choice_whose_bias_is_small_keeps_its_confidence(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.990, 0.991, 0.992], [0.970, 0.971, 0.972])
    for seed, test in enumerate([0.981, 0.980, 0.982]):
        metrics = {"val/acc": 0.95 + 0.002 * ((seed + 1) % 3), "test/acc": test}
        made(tmp_path / "lenet" / f"other{seed}", 0.9, seed=seed, lr=0.5, metrics=metrics)
    # products of (-1, 0, 1) with (-1, 0, 1) and of (0, 2, -2) with (0, -1, 1): 2 and -4, a negative correlation
    text = said(folders)
    assert "A was chosen as the best of 2 configurations by val/acc. To be sure" in text
    assert "confidence is not reached" not in text


@pytest.mark.parametrize(
    ("few", "many", "is_warned_of"),
    [(2, 2, False), (2, 3, True), (3, 3, False), (3, 4, True), (4, 7, False), (4, 8, True), (5, 10, False)],
)
def test_few_and_uneven_seeds_are_warned_of(few: int, many: int, is_warned_of: bool, tmp_path: Path) -> None:
    # without the warning, such an interval misses the truth in at most 6 % of cases: docs/statistics.md
    text = said(two_models(tmp_path, [0.99 - 0.001 * i for i in range(few)], [0.97 + 0.001 * i for i in range(many)]))
    assert (f"One side has {few} seeds and the other {many}" in text) == is_warned_of


def test_seeds_that_agree_give_no_verdict(tmp_path: Path) -> None:
    text = said(two_models(tmp_path, [0.99, 0.99], [0.97, 0.97]))
    assert text.startswith("No verdict on the configurations: the seeds of each side gave the same value")
    assert "support a difference" not in text


def test_one_seed_gives_no_verdict_but_mcnemar(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.99], [0.97])
    text = said(folders)
    assert text.startswith("No verdict on the configurations: there is one seed of A and B")
    assert "no saved logits" in text
    predict(tmp_path / "lenet" / "seed=0", np.arange(400) >= 4)
    predict(tmp_path / "dense" / "seed=0", np.arange(400) < 380)
    text = said(folders)
    assert "of 400 test images A alone has 20 correct and B alone 4; the data support a difference in accuracy" in text
    assert "there is one seed of B" in said(two_models(tmp_path / "more", [0.99, 0.98], [0.97]))


def test_validation_figures_come_with_a_warning(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.99, 0.98], [0.97, 0.96])
    assert "These are validation metrics, which have chosen the checkpoints" in said(folders, part="val")
    assert "validation metrics" not in said(folders)


def test_test_set_evaluations_are_told(tmp_path: Path) -> None:
    folders = two_models(tmp_path / "runs", [0.99, 0.98], [0.97, 0.96])
    for run in (tmp_path / "runs").glob("*/*"):
        test_log.record(run, "train", "f")
    assert "The test set was evaluated 4 times" in said(folders)


def test_few_differing_images_are_no_proof_for_other_images(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.99, 0.98], [0.97, 0.96])
    for seed in (0, 1):
        predict(tmp_path / "lenet" / f"seed={seed}", np.arange(400) >= 0)
        predict(tmp_path / "dense" / f"seed={seed}", np.arange(400) >= 5)
    text = said(folders)
    assert "these networks may be alike: only 5 images of 400 tell them apart" in text
    for seed in (0, 1):
        predict(tmp_path / "dense" / f"seed={seed}", np.arange(400) >= 6)
    assert "On other images of the kind, these networks would differ" in said(folders)


def test_of_few_images_an_interval_of_losses_is_said_to_be_narrow(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.99, 0.98], [0.97, 0.96])
    for num_images, is_narrow in ((99, True), (100, False)):
        for model, num_incorrect in (("lenet", 0), ("dense", 20)):
            for seed in (0, 1):
                is_correct = np.arange(num_images) >= num_incorrect
                predict(tmp_path / model / f"seed={seed}", is_correct, np.arange(num_images) % 4)
        assert ("such an interval of losses is somewhat too narrow" in said(folders, figure="loss")) == is_narrow
        assert "too narrow" not in said(folders)
