"""Losses by hand, and their way through a run."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torchvision.ops import sigmoid_focal_loss

from convline.config import load_config
from convline.errors import UserError
from convline.training.losses import BinaryCrossEntropy, CrossEntropy, Focal, SquaredError
from convline.training.setup import build_loss
from support.commands import convline, run_dirs, train

LOGITS = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])  # probabilities (3/4, 1/4) and (1/2, 1/2)
LABELS = torch.tensor([0, 1])
BY_HAND = {
    "cross-entropy": (CrossEntropy(), (-math.log(0.75) - math.log(0.5)) / 2),
    "focal": (Focal(2.0), (-math.log(0.75) / 16 - math.log(0.5) / 4) / 2),
    # sigmoids: 3/4 and 1/2 of the first image, 1/2 and 1/2 of the second
    "binary cross-entropy": (BinaryCrossEntropy(), (-math.log(0.75) - 3 * math.log(0.5)) / 4),
    "squared error": (SquaredError(), (2 * 0.25**2 + 2 * 0.5**2) / 2),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_two_images_by_hand(name: str) -> None:
    loss, expected = BY_HAND[name]
    assert loss(LOGITS, LABELS).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", BY_HAND)
def test_one_hot_shares_are_labels_and_mixed_ones_lie_between(name: str) -> None:
    loss, expected = BY_HAND[name]
    assert loss(LOGITS, F.one_hot(LABELS, 2).float()).item() == pytest.approx(expected)
    if name != "squared error":  # which is not linear in the target
        half = loss(LOGITS, torch.full((2, 2), 0.5)).item()
        assert half == pytest.approx((expected + loss(LOGITS, 1 - LABELS).item()) / 2)


def test_focal_without_focus_is_cross_entropy_and_its_gradient_is_that_of_the_definition() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(20, 5, dtype=torch.float64, requires_grad=True), torch.randint(5, (20,))
    torch.testing.assert_close(Focal(0.0)(logits, labels), F.cross_entropy(logits, labels))
    assert torch.autograd.gradcheck(lambda x: Focal(2.0)(x, labels), logits)


def test_the_sigmoid_form_of_torchvision_is_another_loss() -> None:
    """It treats each class alone, as bce does; for two classes with opposite logits both forms agree."""
    logit = torch.linspace(-3, 3, 7)
    ours = torch.stack([Focal(2.0)(torch.stack([x / 2, -x / 2])[None], torch.tensor([0])) for x in logit])
    theirs = sigmoid_focal_loss(logit, torch.ones(7), alpha=-1, gamma=2.0)
    torch.testing.assert_close(ours, theirs)


OWN = """
from torch.nn import functional as F


def doubled(logits, targets, factor=2.0):
    return factor * F.cross_entropy(logits, targets)
"""
WORDS = ["callbacks=plain", "trainer=cpu", "trainer.max_epochs=1"]


@pytest.mark.parametrize(
    "choice",
    [
        "loss=focal",
        pytest.param("loss=bce", marks=pytest.mark.slow),
        pytest.param("loss=mse", marks=pytest.mark.slow),
        "loss._target_=own_losses.doubled",
    ],
)
def test_a_run_is_trained_validated_tested_and_evaluated_with_its_loss(choice: str, tmp_path: Path) -> None:
    (tmp_path / "own_losses.py").write_text(OWN)
    done = train(tmp_path, choice, *WORDS)
    assert done.status == 0, done.err
    (run_dir,) = run_dirs(tmp_path)
    metrics = json.loads((run_dir / "summary.json").read_text())["metrics"]
    again = convline(tmp_path, "evaluate", str(run_dir))
    assert f"test/loss {metrics['test/loss']:.6f}" in again.out


@pytest.mark.slow
def test_twice_the_loss_with_half_the_learning_rate_is_the_same_training(tmp_path: Path) -> None:
    (tmp_path / "own_losses.py").write_text(OWN)
    plain = ["optimizer.momentum=0", "optimizer.nesterov=false", "optimizer.weight_decay=0"]
    ours = train(tmp_path, *WORDS, *plain, "optimizer.lr=0.1", "name=plain")
    theirs = train(tmp_path, *WORDS, *plain, "optimizer.lr=0.05", "loss._target_=own_losses.doubled", "name=doubled")
    assert ours.status == theirs.status == 0, ours.err + theirs.err
    metrics = {
        path.name.rpartition("_")[2]: json.loads((path / "summary.json").read_text())["metrics"]
        for path in run_dirs(tmp_path)
    }
    doubled, once = metrics["doubled"], metrics["plain"]
    assert doubled["train/loss"] == pytest.approx(2 * once["train/loss"], rel=1e-5)
    assert doubled["val/loss"] == pytest.approx(2 * once["val/loss"], rel=1e-5)
    assert doubled["test/loss"] == pytest.approx(2 * once["test/loss"], rel=1e-5)
    assert doubled["test/acc"] == once["test/acc"]


def test_settings_of_cross_entropy_are_refused_for_other_losses() -> None:
    with pytest.raises(UserError, match=r"classifier.label_smoothing=0.1 belongs to loss=cross_entropy"):
        load_config(["loss=focal", "classifier.label_smoothing=0.1"])
    with pytest.raises(UserError, match=r"classifier.class_weights=balanced belongs to loss=cross_entropy"):
        load_config(["loss=mse", "classifier.class_weights=balanced"])


class Learned(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits * self.scale, targets)


def test_a_loss_that_would_have_to_learn_is_refused() -> None:
    with pytest.raises(UserError, match="parameters to be learned, scale, but an optimizer gets those of the network"):
        build_loss(OmegaConf.create({"loss": {"_target_": f"{__name__}.Learned"}}))
