"""Preprocessing of stored images: channel statistics, sizes, channels, and the inverse of normalization."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from convline.data.preprocess import Preprocessor, channel_statistics
from convline.data.sources import cifar10, mnist

CPU = torch.device("cpu")
GRAY = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
MEAN, STD = torch.tensor([0.3], dtype=torch.float64), torch.tensor([0.2], dtype=torch.float64)


def made(shape: tuple[int, int, int], images: torch.Tensor = GRAY) -> torch.Tensor:
    preprocessor = Preprocessor(MEAN, STD, shape, CPU)
    labels = torch.arange(len(images))
    made, targets = preprocessor(images, labels, labels)
    assert targets is labels
    return made


def test_gray_images_are_repeated_over_the_channels() -> None:
    images = made((3, 8, 8))
    assert images.shape == (5, 3, 8, 8)
    assert images.is_contiguous(memory_format=torch.channels_last)
    for channel in range(3):
        assert torch.equal(images[:, channel], made((1, 8, 8))[:, 0])


@pytest.mark.parametrize("size", [(4, 4), (12, 12), (5, 9)])
def test_images_of_another_size_are_resized_bilinearly_with_antialiasing(size: tuple[int, int]) -> None:
    expected = F.interpolate(GRAY.float(), size, mode="bilinear", antialias=True)
    expected = (expected / 255 - 0.3) / 0.2
    torch.testing.assert_close(made((1, *size)), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(made((3, *size)), expected.expand(-1, 3, -1, -1), atol=1e-5, rtol=0)


def test_resizing_keeps_a_plain_image_plain() -> None:
    plain = torch.full((2, 1, 8, 8), 51, dtype=torch.uint8)
    torch.testing.assert_close(made((1, 13, 13), plain), torch.full((2, 1, 13, 13), -0.5), atol=1e-5, rtol=0)


def test_the_stored_images_stay_as_they_are() -> None:
    before = GRAY.clone()
    for shape in ((1, 8, 8), (3, 8, 8), (3, 4, 4)):
        made(shape)
    assert torch.equal(GRAY, before)


def test_displayed_images_are_the_stored_ones() -> None:
    preprocessor = Preprocessor(MEAN, STD, (1, 8, 8), CPU)
    assert torch.equal(preprocessor.denormalize(preprocessor.normalize(GRAY)), GRAY)


def random_images(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_channel_statistics_by_hand() -> None:
    # channel 0: 0, 0, 255, 255 -> mean 0.5, deviation 0.5; channel 1: 51, 51, 51, 153 -> mean 0.3, deviation √0.03
    images = torch.tensor([[[[0, 0]], [[51, 51]]], [[[255, 255]], [[51, 153]]]], dtype=torch.uint8)
    mean, std = channel_statistics(images, torch.tensor([0, 1]))
    assert mean.tolist() == pytest.approx([0.5, 0.3], rel=1e-15)
    assert std.tolist() == pytest.approx([0.5, 0.03**0.5], rel=1e-14)
    assert mean.dtype == std.dtype == torch.float64


@pytest.mark.parametrize("shape", [(5, 1, 3, 4), (2048, 3, 2, 2), (5000, 2, 3, 3)])
def test_channel_statistics_equal_numpy_in_float64(shape: tuple[int, ...]) -> None:
    images = random_images(shape)
    mean, std = channel_statistics(images, torch.arange(shape[0]))
    reference = images.numpy().astype(np.float64) / 255
    np.testing.assert_allclose(mean.numpy(), reference.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std.numpy(), reference.std(axis=(0, 2, 3)), rtol=1e-12)


def test_channel_statistics_are_those_of_the_chosen_images_in_any_order() -> None:
    images = random_images((3000, 2, 4, 4))
    chosen = torch.randperm(3000, generator=torch.Generator().manual_seed(1))[:2500]
    mean, std = channel_statistics(images, chosen)
    reference = images.numpy()[chosen.numpy()].astype(np.float64) / 255
    np.testing.assert_allclose(mean.numpy(), reference.mean(axis=(0, 2, 3)), rtol=1e-12)
    again_mean, again_std = channel_statistics(images, chosen.flip(0))
    assert torch.equal(mean, again_mean)
    assert torch.equal(std, again_std)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_channel_has_a_standard_deviation_of_one(value: int) -> None:
    images = random_images((100, 2, 5, 5))
    images[:, 1] = value
    mean, std = channel_statistics(images, torch.arange(100))
    assert mean[1].item() == pytest.approx(value / 255, rel=1e-15)
    assert std[1].item() == 1
    assert std[0].item() < 0.5


def test_bright_images_do_not_overflow() -> None:
    # half of 2048 × 96 × 96 pixels at 255: they sum up to 2.4e9, and their squares to 6e11, beyond 32 bits
    images = torch.zeros(2048, 1, 96, 96, dtype=torch.uint8)
    images[::2] = 255
    mean, std = channel_statistics(images, torch.arange(2048))
    assert (mean.item(), std.item()) == (0.5, 0.5)


@pytest.mark.parametrize("count", [2 * 33_025, 2 * 33_025 + 2])
def test_many_tiny_images_do_not_overflow(count: int) -> None:
    # 33,025 × 255² is the last such sum below 2³¹; the first half of the images are bright, the others dark
    images = torch.zeros(count, 1, 1, 1, dtype=torch.uint8)
    images[: count // 2] = 255
    mean, std = channel_statistics(images, torch.arange(count))
    assert (mean.item(), std.item()) == (0.5, 0.5)


def test_channel_statistics_do_not_change_the_images() -> None:
    images = random_images((10, 1, 4, 4))
    before = images.clone()
    channel_statistics(images, torch.arange(10))
    assert torch.equal(images, before)


@pytest.mark.realdata
def test_mnist_has_the_published_statistics(data_root: Path) -> None:
    mean, std = channel_statistics(mnist(data_root, "train").images, torch.arange(60_000))
    assert (round(mean.item(), 4), round(std.item(), 4)) == (0.1307, 0.3081)


@pytest.mark.realdata
def test_cifar10_has_the_published_statistics(data_root: Path) -> None:
    mean, std = channel_statistics(cifar10(data_root, "train").images, torch.arange(50_000))
    assert [round(value, 4) for value in mean.tolist()] == [0.4914, 0.4822, 0.4465]
    assert [round(value, 4) for value in std.tolist()] == [0.2470, 0.2435, 0.2616]
