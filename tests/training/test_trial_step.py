"""What cannot work in the first step or the first validation is refused before a run begins."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convline.errors import UserError
from convline.training.classifier import Classifier
from convline.training.trial_step import check_step
from support.commands import SMALL, assert_one_screen, train
from support.fitting import constant, make_data, make_network, sgd


def summed(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="sum")


def per_image(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="none")


def detached(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.detach(), targets)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (summed, "summed over the images"),
        (per_image, r"a tensor of shape \(2,\)"),
        (detached, "one number with a gradient"),
        (lambda logits, targets: 0.5, "the loss gives float"),
        (nn.BCEWithLogitsLoss(), r"cannot be computed of logits \(2, 3\) and targets \(2,\)"),
    ],
)
def test_a_loss_that_is_no_mean_over_images(loss: Any, message: str) -> None:
    data = make_data()
    data.read()
    with pytest.raises(UserError, match=message):
        check_step(Classifier(make_network(), sgd, constant, loss=loss), data)


def test_the_check_leaves_no_trace() -> None:
    data = make_data()
    data.read()
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), make_network())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random = torch.get_rng_state()
    check_step(Classifier(network, sgd, constant), data)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_metrics_that_do_not_fit_and_a_wrong_gamma_are_one_screen_and_leave_no_run(tmp_path: Path) -> None:
    metric = "{_target_: torchmetrics.classification.MulticlassAccuracy, num_classes: 5, name: five}"
    assert_one_screen(train(tmp_path, *SMALL, f"metrics=[{metric}]"), "the metrics cannot be measured")
    assert_one_screen(
        train(tmp_path, *SMALL, "loss=focal", "loss.gamma=-5"),
        "loss.gamma=-5 is out of range: it must be from 0 to 100",
    )
    assert not list(tmp_path.glob("runs/*/config.yaml"))
