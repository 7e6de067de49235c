"""Evaluation outside the trainer: logits averaged over views of an image."""

import math

import pytest
import torch

from convline.training.evaluation import Evaluation, average_over_views

IMAGES = torch.arange(2 * 1 * 3 * 3, dtype=torch.float32).view(2, 1, 3, 3)


def corners(images: torch.Tensor) -> torch.Tensor:
    """A network that shows which view it got: its upper corners."""
    return images[:, 0, 0, [0, -1]]


def test_without_views_it_is_the_network() -> None:
    assert torch.equal(average_over_views(corners, IMAGES, None), corners(IMAGES))


def test_flip_is_the_mean_of_the_image_and_its_mirror_image() -> None:
    # corners of the first: 0, 2; mirrored: 2, 0
    assert average_over_views(corners, IMAGES, "flip").tolist() == [[1.0, 1.0], [10.0, 10.0]]


def test_shifted_views_weigh_half() -> None:
    # The first image, 0 1 2 / 3 4 5 / 6 7 8, has the upper corners 0, 2: mean 1. Moved up and left by one it begins
    # at 4, with the reflected 4 behind 5: corners 4, 4. Moved down and right it begins with the reflected 4, then
    # 3, 4: corners 4, 4.
    assert average_over_views(corners, IMAGES, "flip+shift")[0].tolist() == [0.5 * 1 + 0.25 * 4 + 0.25 * 4] * 2


def test_a_mirror_image_gets_the_same_logits() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 2), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    assert torch.equal(
        average_over_views(network, IMAGES, "flip"), average_over_views(network, IMAGES.flip(-1), "flip")
    )


def test_a_class_without_images_has_no_accuracy() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [2.0, 0.0, 0.0]])
    assert Evaluation(logits, torch.tensor([0, 0, 0])).class_accuracy() == [0.666667, None, None]


def test_the_loss_of_multilabel_images_is_the_mean_over_their_labels() -> None:
    evaluation = Evaluation(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
    assert evaluation.loss == pytest.approx((math.log(2) + math.log(1 + math.exp(2))) / 2)
