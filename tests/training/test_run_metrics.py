"""The metrics that the setting `metrics` adds: their values, and every place where a name is used."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from convline.config import load_config
from convline.config.metrics import METRICS, declare, is_share, lower_is_better
from convline.errors import UserError
from convline.training.metrics import build_metrics, compute_on_logits
from support.commands import assert_one_screen, convline, run_dirs, train

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(8, (400,), generator=GENERATOR)
LOGITS = torch.randn(400, 8, generator=GENERATOR) + 2 * torch.nn.functional.one_hot(LABELS, 8)
PROBABILITIES = LOGITS.softmax(1).double().numpy()
PREDICTED, TRUE = PROBABILITIES.argmax(1), LABELS.numpy()


def ece_by_hand() -> float:
    """The mean difference of confidence and accuracy in 15 bins of equal width, weighted by their images."""
    confidence, correct = PROBABILITIES.max(1), PREDICTED == TRUE
    bins = np.ceil(confidence * 15).astype(int)
    parts = [(bins == b).mean() * abs(confidence[bins == b].mean() - correct[bins == b].mean()) for b in set(bins)]
    return float(sum(parts))


EXPECTED = {
    "top5": sklearn_metrics.top_k_accuracy_score(TRUE, PROBABILITIES, k=5),
    "balanced_acc": sklearn_metrics.balanced_accuracy_score(TRUE, PREDICTED),
    "precision": sklearn_metrics.precision_score(TRUE, PREDICTED, average="macro"),
    "recall": sklearn_metrics.recall_score(TRUE, PREDICTED, average="macro"),
    "f1": sklearn_metrics.f1_score(TRUE, PREDICTED, average="macro"),
    "auroc": sklearn_metrics.roc_auc_score(TRUE, PROBABILITIES, multi_class="ovr"),
    "map": sklearn_metrics.average_precision_score(np.eye(8)[TRUE], PROBABILITIES, average="macro"),
    "kappa": sklearn_metrics.cohen_kappa_score(TRUE, PREDICTED),
    "ece": ece_by_hand(),
}


def test_every_metric_is_that_of_scikit_learn() -> None:
    assert set(EXPECTED) == set(METRICS) - {"acc", "loss", "exact_match"}
    values = compute_on_logits(build_metrics(list(EXPECTED), 8), LOGITS, LABELS)
    assert values == pytest.approx(EXPECTED, abs=2e-6)


def test_every_metric_of_multilabel_images_is_that_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = (torch.rand(300, 5, generator=generator) < 0.3).float()
    logits = torch.randn(300, 5, generator=generator) + 1.5 * labels - 0.5
    true, predicted, probability = labels.numpy(), (logits > 0).numpy(), logits.sigmoid().double().numpy()
    expected = {
        "precision": sklearn_metrics.precision_score(true, predicted, average="macro"),
        "recall": sklearn_metrics.recall_score(true, predicted, average="macro"),
        "f1": sklearn_metrics.f1_score(true, predicted, average="macro"),
        "auroc": sklearn_metrics.roc_auc_score(true, probability, average="macro"),
        "map": sklearn_metrics.average_precision_score(true, probability, average="macro"),
        "exact_match": sklearn_metrics.accuracy_score(true, predicted),
    }
    assert set(expected) == {name for name, metric in METRICS.items() if metric.multilabel_target}
    values = compute_on_logits(build_metrics(list(expected), 5, is_multilabel=True), logits, labels)
    assert values == pytest.approx(expected, abs=2e-6)
    with pytest.raises(UserError, match="metrics=kappa is not defined for images with several labels"):
        build_metrics(["kappa"], 5, is_multilabel=True)
    with pytest.raises(UserError, match="metrics=exact_match is not defined for images with one label each"):
        build_metrics(["exact_match"], 5)


def test_directions_and_units() -> None:
    assert [name for name in METRICS if lower_is_better(f"val/{name}")] == ["loss", "ece"]
    assert lower_is_better("test/loss_tta")
    assert [name for name in METRICS if not is_share(f"val/{name}")] == ["loss", "kappa"]


def test_a_metric_of_ones_own_states_its_direction() -> None:
    hamming = {"_target_": "torchmetrics.classification.MulticlassHammingDistance", "num_classes": 8}
    assert declare([hamming, {**hamming, "name": "distance", "lower_is_better": True}]) == [
        "multiclasshammingdistance",
        "distance",
    ]
    assert lower_is_better("val/distance")
    with pytest.raises(UserError, match="add lower_is_better: true"):
        build_metrics([hamming], 8)
    values = compute_on_logits(build_metrics([{**hamming, "name": "distance"}], 8), LOGITS, LABELS)
    assert values["distance"] == pytest.approx(1 - EXPECTED["balanced_acc"], abs=2e-6)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["f2"], "no such metric .did you mean 'f1'"),
        (["f1", "f1"], "metrics has f1 twice"),
        (["top5"], "top5 of 5 classes would always be 1"),
        ([{"_target_": "torch.nn.ReLU"}], "torch.nn.ReLU is no metric of torchmetrics, but ReLU"),
        (
            [{"_target_": "torchmetrics.classification.MulticlassF1Score", "num_classes": 5, "average": "none"}],
            "gives 5 numbers instead of one",
        ),
    ],
)
def test_metrics_that_cannot_be_measured_are_refused(entries: list[Any], message: str) -> None:
    def measure() -> None:
        declare(entries)
        compute_on_logits(build_metrics(entries, 5), LOGITS[:, :5], LABELS % 5)

    with pytest.raises(UserError, match=message):
        measure()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["callbacks.checkpoint.monitor=val/f1"], "val/f1 is not measured"),
        (
            ["+callbacks.stop={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val_loss}"],
            "callbacks.stop.monitor=val_loss is not measured .did you mean 'val/loss'",
        ),
        (["metrics=[f1]", "callbacks=early_stopping", "callbacks.early_stopping.monitor=val/f1"], "mode=max"),
        (["metrics=[{_target_: torchmetrics.classification.MulticlassF2}]"], "no MulticlassF2 in"),
        (["metrics=[{_target_: torchmetrics.classification.MulticlassF1Score, classes: 3}]"], "num_classes"),
    ],
)
def test_wrong_settings_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(words)


@pytest.mark.slow
def test_a_name_is_a_curve_a_monitor_a_row_of_the_panel_a_column_a_sort_key_and_can_be_compared(tmp_path: Path) -> None:
    words = ["callbacks=plain", "trainer=cpu", "trainer.max_epochs=2", "metrics=[f1,ece]"]
    for name, rates in (("a", "0.05"), ("b", "0.01")):
        monitor = "callbacks.checkpoint.monitor=val/ece"
        done = train(
            tmp_path, "-m", *words, monitor, "seed=0,1", f"optimizer.lr={rates}", f"hydra.sweep.dir=runs/{name}"
        )
        assert done.status == 0, done.err
        assert "test f1" in done.out
    for run_dir in run_dirs(tmp_path):
        with open(run_dir / "metrics.csv") as file:
            curve = [float(row["val/ece"]) for row in csv.DictReader(file)]
        summary = json.loads((run_dir / "summary.json").read_text())
        assert summary["metrics"]["val/ece"] == pytest.approx(min(curve), abs=1e-6)  # lower is better
        assert summary["best_epoch"] == curve.index(min(curve)) + 1
        assert f"test/f1 {summary['metrics']['test/f1']:.6f}" in convline(tmp_path, "evaluate", str(run_dir)).out
    table = convline(tmp_path, "report", "runs", "--metric", "val/f1", "--csv", "table.csv")
    assert table.status == 0, table.err
    with open(tmp_path / "table.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert {"val/f1", "test/f1", "test/ece"} <= set(rows[0])
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert float(rows[0]["val/f1"]) >= float(rows[1]["val/f1"])
    assert "test/f1" in convline(tmp_path, "compare", "runs/a", "runs/b", "--metric", "f1").out
    assert_one_screen(convline(tmp_path, "compare", "runs/a", "runs/b", "--metric", "f3"), "test/f3")
