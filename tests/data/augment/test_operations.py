"""Each augmentation against a slow one for a single image, or torchvision's."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from convline.data.augment.color import shift_hue
from convline.data.augment.language import parse_augment
from convline.data.augment.mixing import soft_targets
from support.augmenting import FILL, FORMATS, make, pictures


def augmented(spec: str, images: Tensor, epoch: int = 0) -> tuple[Tensor, Tensor]:
    """The images after one operation, and its parameters."""
    pipeline = make(spec, *images.shape[1:])
    parameters = pipeline.random_parameters(epoch, len(images))
    return pipeline(images, torch.arange(len(images)) % 10, parameters)[0], parameters[0]


def flipped(image: np.ndarray, row: list[float]) -> np.ndarray:
    return image[:, :, ::-1] if row[0] else image


def cropped(image: np.ndarray, row: list[float], **mode: str) -> np.ndarray:
    top, left = map(int, row)
    padded = np.pad(image, ((0, 0), (3, 3), (3, 3)), **mode)  # type: ignore[call-overload]
    return padded[:, top : top + image.shape[1], left : left + image.shape[2]]


def filled(image: np.ndarray) -> np.ndarray:
    """All fill, rounded if the image is of bytes."""
    fill = np.array(FILL[: len(image)]).reshape(-1, 1, 1)
    return np.broadcast_to(np.rint(fill) if image.dtype == np.uint8 else fill, image.shape).astype(image.dtype)


def translated(image: np.ndarray, row: list[float]) -> np.ndarray:
    down, right = map(int, row)
    result = filled(image).copy()
    _, height, width = image.shape
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                result[:, y, x] = image[:, y - down, x - right]
    return result


def erased(image: np.ndarray, top: float, left: float, height: float, width: float) -> np.ndarray:
    result = image.copy()
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            if top <= y < top + height and left <= x < left + width:
                result[:, y, x] = filled(image)[:, y, x]
    return result


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        ("flip", flipped),
        ("altflip", flipped),
        ("crop(3)", lambda image, row: cropped(image, row, mode="reflect")),
        ("crop(3, zero)", lambda image, row: cropped(image, row, mode="constant")),
        ("translate(3)", translated),
        ("cutout(4)", lambda image, row: erased(image, *row, 4, 4)),
        ("cutout(5)", lambda image, row: erased(image, *row, 5, 5)),
        ("erase(0.9)", lambda image, row: erased(image, *row)),
    ],
)
def test_operations_that_move_pixels(
    spec: str,
    reference: Callable[[np.ndarray, list[float]], np.ndarray],
    channels: int,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
) -> None:
    images = pictures(channels=channels).to(dtype).contiguous(memory_format=memory_format)
    result, parameters = augmented(spec, images)
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=memory_format)
    for image, after, row in zip(images.numpy(), result.numpy(), parameters.tolist(), strict=True):
        np.testing.assert_array_equal(after, reference(image, row))
    assert not torch.equal(result, images)


@pytest.mark.parametrize(("height", "width"), [(8, 10), (9, 7)])
@pytest.mark.parametrize("spec", ["rotate(180)", "affine(30, 0.3, 0.4, 30)"])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_geometry_is_torchvisions(spec: str, height: int, width: int, memory_format: torch.memory_format) -> None:
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import affine

    border = 12
    images = pictures(16, 3, height, width)
    result, parameters = augmented(spec, images.contiguous(memory_format=memory_format))
    assert result.dtype == torch.float32
    # a wide border of the fill, since torchvision's own fill is blended twice where a pixel lies half outside
    wide = torch.tensor(FILL).view(3, 1, 1).expand(16, 3, height + 2 * border, width + 2 * border).clone()
    wide[:, :, border:-border, border:-border] = images
    for image, after, row in zip(wide, result, parameters.tolist(), strict=True):
        angle, down, right, scale, shear = row if len(row) == 5 else [*row, 0, 0, 1, 0]
        expected = affine(image, angle, [right, down], scale, [shear, 0.0], InterpolationMode.BILINEAR)
        torch.testing.assert_close(after, expected[:, border:-border, border:-border], rtol=0, atol=0.02)


def test_a_quarter_turn_by_hand() -> None:
    (step,) = parse_augment("rotate(90)")
    image = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]).view(1, 1, 3, 3)
    clockwise = torch.tensor([[7.0, 4, 1], [8, 5, 2], [9, 6, 3]]).view(1, 1, 3, 3)
    torch.testing.assert_close(step(image, torch.tensor([[90.0]]), torch.zeros(1)), clockwise, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(("spec", "channels"), [("jitter(0.8, 0.8)", 1), ("jitter(0.5, 0.5, 0.9, 0.5)", 3)])
def test_colors_are_torchvisions(spec: str, channels: int, dtype: torch.dtype) -> None:
    from torchvision.transforms.v2 import functional as F

    images = pictures(channels=channels)
    result, parameters = augmented(spec, images.to(dtype))
    for image, after, (brightness, contrast, saturation, turn) in zip(images, result, parameters.tolist(), strict=True):
        expected = F.adjust_contrast(F.adjust_brightness(image / 255, brightness), contrast)
        if channels == 3:
            expected = F.adjust_hue(F.adjust_saturation(expected, saturation), turn)
        # torchvision's weights of the luma have four digits
        torch.testing.assert_close(after, expected * 255, rtol=0, atol=0.1)


def test_hue_by_hand() -> None:
    """A third of a turn takes red to green, half of one orange (255, 128, 0) to the blue opposite; gray stays."""
    colors = torch.tensor([[255.0, 0, 0], [255, 127.5, 0], [80, 80, 80]]).view(3, 3, 1, 1)
    expected = torch.tensor([[0.0, 255, 0], [0, 127.5, 255], [80, 80, 80]]).view(3, 3, 1, 1)
    torch.testing.assert_close(shift_hue(colors, torch.tensor([1 / 3, 0.5, 0.2])), expected, rtol=0, atol=1e-3)


def mixed_targets(shares: list[float], labels: list[int]) -> list[list[float]]:
    rows = [[0.0] * 10 for _ in labels]
    for number, (share, label) in enumerate(zip(shares, labels, strict=True)):
        rows[number][label] += share
        rows[number][labels[number - 1]] += 1 - share
    return rows


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("spec", ["mixup(1)", "cutmix", "mixup(0.3, p=0.5)", "cutmix(2, p=0.5)"])
def test_mixing(spec: str, dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    images = pictures().to(dtype).contiguous(memory_format=memory_format)
    labels = torch.arange(len(images)) * 3 % 10
    pipeline = make(spec)
    (parameters,) = pipeline.random_parameters(0, len(images))
    result, targets = pipeline(images, labels, [parameters])
    assert targets.dtype == torch.float32
    torch.testing.assert_close(targets.sum(1), torch.ones(len(images)))
    torch.testing.assert_close(targets, torch.tensor(mixed_targets(parameters[:, 0].tolist(), labels.tolist())))
    assert result.dtype == (dtype if "cut" in spec else torch.float32)
    for number, row in enumerate(parameters.tolist()):
        image, partner = images[number].numpy(), images[number - 1].numpy()
        if "cut" not in spec:
            expected = row[0] * image.astype(float) + (1 - row[0]) * partner
        else:
            share, top, left, bottom, right = row
            expected = image.copy()
            expected[:, int(top) : int(bottom), int(left) : int(right)] = partner[
                :, int(top) : int(bottom), int(left) : int(right)
            ]
            assert share == pytest.approx(1 - (bottom - top) * (right - left) / 80, abs=1e-6)
        np.testing.assert_allclose(result[number].numpy(), expected, atol=1e-4)
    unmixed = (parameters[:, 0] == 1).float().mean()
    assert (0.2 < unmixed < 0.8) if "p=" in spec else unmixed < 0.2


def test_soft_targets_by_hand() -> None:
    targets = soft_targets(torch.tensor([2, 0, 0]), torch.tensor([0.75, 0.5, 0.9]), 3)
    torch.testing.assert_close(targets, torch.tensor([[0.25, 0, 0.75], [0.5, 0, 0.5], [1, 0, 0]]))
    torch.testing.assert_close(soft_targets(torch.tensor([1]), torch.tensor([0.3]), 2), torch.tensor([[0.0, 1]]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("spec", ["randaugment(1, 20)", "trivialaugment"])
def test_policies_are_torchvisions_with_a_seed_for_each_image(spec: str, channels: int) -> None:
    from torchvision.transforms import v2

    fill = list(FILL[:channels])
    policy = v2.TrivialAugmentWide(fill=fill) if spec == "trivialaugment" else v2.RandAugment(1, 20, fill=fill)
    images = pictures(12, channels)
    result, parameters = augmented(spec, images)
    rounded, _ = augmented(spec, images + 0.3)
    assert torch.equal(result, rounded)
    assert result.dtype == torch.uint8
    for image, after, (seed,) in zip(images, result, parameters.tolist(), strict=True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seed))
            assert torch.equal(after, policy(image))
