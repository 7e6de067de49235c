"""What a network is trained towards: weighted classes and mixed images, against losses worked out by hand."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from convline.data.datamodule import DataModule
from convline.training.classifier import Classifier
from convline.training.metrics import count_correct
from convline.training.schedules import constant
from support.fitting import fit, make_data, make_network, metrics, sgd


def classifier(**settings: object) -> Classifier:
    return Classifier(make_network(), sgd, constant, **settings)  # type: ignore[arg-type]


def test_a_weight_multiplies_the_loss_of_its_class() -> None:
    logits = torch.zeros(4, 3)
    labels = torch.tensor([0, 0, 1, 2])
    weighted = classifier(class_weights=torch.tensor([2.0, 1.0, 0.5]))
    # each image alone costs ln 3
    assert weighted.training_loss(logits, labels).item() == pytest.approx(math.log(3) * (2 + 2 + 1 + 0.5) / 4)


def test_weights_of_one_change_nothing() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    mixed = torch.rand(6, 3).softmax(1)
    for smoothing in (0.0, 0.1):
        plain = classifier(label_smoothing=smoothing)
        ones = classifier(label_smoothing=smoothing, class_weights=torch.ones(3))
        for targets in (labels, mixed):
            torch.testing.assert_close(
                ones.training_loss(logits, targets), plain.training_loss(logits, targets), rtol=1e-5, atol=1e-6
            )


def test_a_mixed_images_loss_is_the_mixture_of_the_losses() -> None:
    logits, first, second = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1]), torch.tensor([1, 1, 0, 2, 2])
    share = torch.tensor([0.9, 0.5, 0.3, 0.75, 1.0]).unsqueeze(1)
    targets = share * F.one_hot(first, 3) + (1 - share) * F.one_hot(second, 3)
    losses = [F.cross_entropy(logits, labels, reduction="none") for labels in (first, second)]
    expected = (share.squeeze() * losses[0] + (1 - share.squeeze()) * losses[1]).mean()
    torch.testing.assert_close(classifier().training_loss(logits, targets), expected)


def test_a_mixed_image_is_a_hit_as_far_as_the_predicted_class_is_in_it() -> None:
    logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    targets = torch.tensor([[0.7, 0.3, 0.0], [0.6, 0.0, 0.4]])
    assert count_correct(logits, targets).item() == pytest.approx(0.7)
    assert count_correct(logits, torch.tensor([0, 2])).item() == 1


def test_balanced_weights_make_classes_count_alike(tmp_path: Path) -> None:
    data: DataModule = make_data()
    data.read()
    counts = data.train_labels[data.train_indices].bincount()
    weights = data.class_weights()
    torch.testing.assert_close(weights * counts, torch.full((3,), len(data.train_indices) / 3))
    trained = fit(tmp_path, data, make_network(), class_weights=weights)
    assert "class_weights" not in trained.state_dict()
    assert math.isfinite(metrics(trained)["train/loss"])
