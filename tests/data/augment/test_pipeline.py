"""A pipeline of augmentations: images, labels, memory and global random numbers."""

import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from convline.data.augment.pipeline import Pipeline
from support.augmenting import FORMATS, make, pictures

SPECS = [
    "flip",
    "altflip",
    "crop(3)",
    "crop(3, zero)",
    "translate(3)",
    "cutout(4)",
    "erase(0.9)",
    "rotate(40)",
    "affine(30, 0.2, 0.3, 20)",
    "jitter(0.5, 0.5)",
    "jitter(0.5, 0.5, 0.5, 0.5)",
    "mixup",
    "cutmix",
    "randaugment",
    "trivialaugment",
]


@pytest.mark.parametrize("spec", SPECS)
def test_an_image_comes_out_the_same_in_any_batch_and_nothing_else_changes(spec: str) -> None:
    images, labels = pictures(), torch.arange(24) % 10
    pipeline = make(f"crop(1), {spec}" if "flip" not in spec else spec)
    parameters = pipeline.random_parameters(3, len(images))
    before, state = images.clone(), torch.get_rng_state()
    whole, targets = pipeline(images, labels, parameters)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert whole.shape == images.shape
    assert float(whole.min()) >= -1e-3
    assert float(whole.max()) <= 255 + 1e-3
    if any(step.mixes for step in pipeline.steps):
        return
    assert targets is labels
    order = torch.from_numpy(np.random.default_rng(1).permutation(24))
    for index in [*order[:15].split(4), order[15:]]:
        part, _ = pipeline(images[index], labels[index], [row[index] for row in parameters])
        # interpolation takes vectors of another length in other batches
        torch.testing.assert_close(part, whole[index], rtol=0, atol=0 if part.dtype == torch.uint8 else 1e-3)


@pytest.mark.parametrize("mixer", ["", "mixup", "cutmix"])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_labels_stay_with_their_images(mixer: str, memory_format: torch.memory_format) -> None:
    """Images full of 20 times their label: an image's mean tells its label, or how labels are mixed in it."""
    labels = torch.from_numpy(np.random.default_rng(2).integers(0, 10, 32))
    images = (20 * labels).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 10)
    pipeline = make(", ".join(filter(None, ["altflip", "crop(2)", mixer])))
    parameters = pipeline.random_parameters(0, len(images))
    result, targets = pipeline(images.contiguous(memory_format=memory_format), labels, parameters)
    means = result.float().mean((1, 2, 3))
    told = 20 * (targets @ torch.arange(10.0) if mixer else targets.float())
    torch.testing.assert_close(means, told, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "sliced", [lambda images: images[:, :, ::2], lambda images: images[:, :, :, 1:9], lambda images: images[::2, 1:]]
)
def test_images_may_lie_in_memory_as_they_like(sliced: Callable[[Tensor], Tensor]) -> None:
    for memory_format in FORMATS:
        images = sliced(pictures(24, 3, 8, 12).contiguous(memory_format=memory_format))
        for spec in ("flip", "crop(2)", "crop(2, zero)", "cutout(3)", "mixup", "cutmix"):
            pipeline = make(spec, *images.shape[1:])
            parameters, labels = pipeline.random_parameters(0, len(images)), torch.zeros(len(images), dtype=torch.int64)
            expected, _ = pipeline(images.contiguous(), labels, parameters)
            result, _ = pipeline(images, labels, parameters)
            assert torch.equal(result, expected)


def test_no_steps_do_nothing() -> None:
    pipeline = Pipeline((), (1, 8, 8), 10, torch.zeros(1), 0)
    images, labels = pictures(2, 1), torch.tensor([1, 2])
    assert pipeline.random_parameters(0, 2) == []
    assert pipeline(images, labels, []) == (images, labels)


def test_an_epoch_is_what_it_was_when_this_was_written() -> None:
    """Whoever changes this changes what every stored seed means."""
    pipeline = make("altflip, crop(2), cutout(3), cutmix(1, p=0.5)")
    images, labels = pictures(), torch.arange(24) % 10
    sums = []
    for epoch in (0, 1):
        result, targets = pipeline(images, labels, pipeline.random_parameters(epoch, len(images)))
        sums.append((zlib.crc32(result.numpy().tobytes()), round(float((targets**2).sum()), 3)))
    assert sums == [(150607852, 18.067), (4122767058, 20.49)]


@pytest.mark.gpu
def test_a_gpu_gives_the_same() -> None:
    labels = torch.arange(24) % 10
    for spec in SPECS:
        for memory_format in FORMATS:
            images, pipeline = pictures().contiguous(memory_format=memory_format), make(spec)
            parameters = pipeline.random_parameters(1, len(images))
            expected, expected_targets = pipeline(images, labels, parameters)
            result, targets = pipeline(images.cuda(), labels.cuda(), [row.cuda() for row in parameters])
            moved = expected.dtype == torch.uint8 and "augment" not in spec  # the others round differently there
            atol = 0 if moved else 1 if "augment" in spec else 0.05
            torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=atol)
            torch.testing.assert_close(targets.cpu(), expected_targets)
