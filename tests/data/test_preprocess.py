"""From stored images to the network's input: sizes, channels, and the way back for the eye."""

import pytest
import torch
import torch.nn.functional as F

from convline.data.preprocess import Preprocessor

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
