"""The random numbers of augmentation: how they are distributed, and what they depend on."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from convline.data.augment.base import RandomStream
from convline.data.augment.language import parse_augment

NUM_IMAGES = 20_000
SHAPE = (3, 8, 12)
DEEP = 5.0  # standard deviations; the seeds are fixed, so a test that passes once passes always


def sample(
    spec: str, epoch: int = 0, seed: int = 0, number: int = 0, num_images: int = NUM_IMAGES
) -> NDArray[np.float64]:
    (step,) = parse_augment(spec)
    parameters = step.sample_parameters(RandomStream(seed, number, epoch), num_images, SHAPE)
    assert parameters.dtype == np.float32
    assert len(parameters) == num_images
    return parameters.astype(np.float64)


def is_uniform(values: NDArray[np.float64], low: int, high: int) -> bool:
    """Are whole numbers spread evenly over low...high? Chi-squared within `DEEP` deviations of its mean."""
    assert (values == np.rint(values)).all()
    assert values.min() >= low
    assert values.max() <= high
    counts = np.bincount((values - low).astype(int), minlength=high - low + 1)
    freedom = len(counts) - 1
    expected = len(values) / len(counts)
    return bool(abs(((counts - expected) ** 2 / expected).sum() - freedom) < DEEP * np.sqrt(2 * freedom))


def is_even(values: NDArray[np.float64], low: float, high: float) -> bool:
    """... real numbers, in 20 bins, with both ends all but reached."""
    assert low - 1e-5 <= values.min() < low + (high - low) / 500
    assert high - (high - low) / 500 < values.max() <= high + 1e-5
    return is_uniform(np.floor((values - low) / (high - low) * 19.999), 0, 19)


def test_the_measure_itself_tells_even_from_uneven() -> None:
    rng = np.random.default_rng(0)
    assert is_uniform(rng.integers(9, size=NUM_IMAGES).astype(float), 0, 8)
    assert not is_uniform(np.rint(rng.random(NUM_IMAGES) * 8), 0, 8)
    assert is_even(rng.uniform(-3, 3, NUM_IMAGES), -3, 3)
    assert not is_even(rng.beta(1.1, 1.1, NUM_IMAGES) * 6 - 3, -3, 3)


@pytest.mark.parametrize(("spec", "share"), [("flip", 0.5), ("flip(0.2)", 0.2), ("flip(1)", 1.0), ("altflip", 0.5)])
def test_flips_happen_as_often_as_they_should(spec: str, share: float) -> None:
    parameters = sample(spec)
    assert set(np.unique(parameters)) <= {0.0, 1.0}
    assert abs(parameters.mean() - share) <= DEEP * np.sqrt(share * (1 - share) / NUM_IMAGES)


def test_crops_are_uniform_in_both_directions_together() -> None:
    top, left = sample("crop(4)").T
    assert is_uniform(9 * top + left, 0, 80)


def test_shifts_are_uniform() -> None:
    down, right = sample("translate(3)").T
    assert is_uniform(7 * (down + 3) + right + 3, 0, 48)


@pytest.mark.parametrize("size", [4, 5])
def test_centers_of_squares_are_uniform(size: int) -> None:
    top, left = (sample(f"cutout({size})") + size // 2).T
    assert is_uniform(12 * top + left, 0, 95)


def test_erased_rectangles_lie_inside_and_have_the_right_sizes() -> None:
    (step,) = parse_augment("erase(0.7, 0.05, 0.4, 0.5)")
    top, left, height, width = step.sample_parameters(RandomStream(0, 0, 0), NUM_IMAGES, (1, 64, 64)).astype(float).T
    erased = height > 0
    assert (erased == (width > 0)).all()
    assert abs(erased.mean() - 0.7) < DEEP * np.sqrt(0.21 / NUM_IMAGES)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 64).all()
    assert (left + width <= 64).all()
    area, ratio = (height * width)[erased] / 64**2, (height / np.where(erased, width, 1))[erased]
    assert 0.04 < area.min() < 0.06
    assert 0.39 < area.max() < 0.41
    assert abs(area.mean() - 0.225) < 0.005
    assert 0.45 < ratio.min() < 0.55
    assert 1.8 < ratio.max() < 2.2
    assert abs(np.log(ratio).mean()) < 0.02
    room = 64 - height[erased]
    assert abs((top[erased] / room).mean() - 0.5) < 0.02


def test_rectangles_that_do_not_fit_are_drawn_again() -> None:
    """Half of the area, 4 times as wide as high, is 6×24 pixels: never inside 12×12; a square is."""
    (step,) = parse_augment("erase(1, 0.5, 0.5, 0.01)")
    height, width = step.sample_parameters(RandomStream(0, 0, 0), 2000, (1, 12, 12))[:, 2:].T
    assert (np.maximum(height, width) < 12).all()
    assert 0.5 < (height > 0).mean() < 1


@pytest.mark.parametrize(
    ("spec", "ranges"),
    [
        ("rotate(20)", [(-20, 20)]),
        ("affine(20, 0.25, 0.5, 10)", [(-20, 20), (-2, 2), (-3, 3), (0.5, 1.5), (-10, 10)]),
        ("jitter(0.5, 0.4, 0.3, 0.2)", [(0.5, 1.5), (0.6, 1.4), (0.7, 1.3), (-0.2, 0.2)]),
    ],
)
def test_real_parameters_are_uniform_in_their_ranges(spec: str, ranges: list[tuple[float, float]]) -> None:
    for values, (low, high) in zip(sample(spec).T, ranges, strict=True):
        assert is_even(values, low, high)


def test_what_is_not_asked_for_stays_as_it_is() -> None:
    assert (sample("affine(20)")[:, 1:] == [0, 0, 1, 0]).all()
    assert (sample("jitter(0, 0.5)")[:, [0, 2, 3]] == [1, 1, 0]).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("p", [1.0, 0.4])
def test_shares_of_mixing_follow_the_beta_distribution(alpha: float, p: float) -> None:
    (shares,) = sample(f"mixup({alpha}, p={p})").T
    mixed = shares[shares < 1]
    assert len(mixed) / NUM_IMAGES == pytest.approx(p, abs=0.03)  # a share may also be rounded to 1
    assert abs(mixed.mean() - 0.5) < 0.03
    assert mixed.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_pasted_rectangles() -> None:
    share, top, left, bottom, right = sample("cutmix").T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (bottom <= 8).all()
    assert (right <= 12).all()
    assert (bottom >= top).all()
    assert (right >= left).all()
    np.testing.assert_allclose(share, 1 - (bottom - top) * (right - left) / 96, atol=1e-6)
    inside = (top > 0) & (left > 0) & (bottom < 8) & (right < 12)  # such are whole: as wide for their size as the image
    height, width = (bottom - top)[inside], (right - left)[inside]
    assert (np.abs(height / 8 - width / 12) <= 1 / 8).all()
    assert ((top + bottom) / 2).mean() == pytest.approx(4, abs=0.3)
    assert ((left + right) / 2).mean() == pytest.approx(6, abs=0.3)


def test_seeds_of_policies_are_whole_numbers() -> None:
    for spec in ("randaugment", "trivialaugment"):
        (seeds,) = sample(spec).T
        assert (seeds == np.rint(seeds)).all()
        assert is_even(seeds, 0, 2**24)
        assert len(np.unique(seeds)) > 0.99 * NUM_IMAGES


SPECS = ["flip", "crop", "translate", "cutout", "erase", "rotate", "affine(9)", "jitter(1)", "mixup", "cutmix"]


@pytest.mark.parametrize("spec", [*SPECS, "randaugment", "trivialaugment"])
def test_draws_are_those_of_seed_epoch_and_step_and_of_no_others(spec: str) -> None:
    first = sample(spec, epoch=3, seed=5, number=1, num_images=500)
    np.testing.assert_array_equal(first, sample(spec, epoch=3, seed=5, number=1, num_images=500))
    for other in ({"epoch": 4}, {"seed": 6}, {"number": 2}, {"epoch": 5, "seed": 3}, {"epoch": 1, "number": 3}):
        numbers = {"epoch": 3, "seed": 5, "number": 1, **other}
        assert abs(correlation(first, sample(spec, num_images=500, **numbers))) < 0.25


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Of the first column that varies."""
    column = int((one.std(0) > 0).argmax())
    return float(np.corrcoef(one[:, column], other[:, column])[0, 1])


@pytest.mark.parametrize("spec", [*SPECS, "altflip"])
def test_an_image_knows_nothing_of_its_neighbours(spec: str) -> None:
    parameters = sample(spec)
    for distance in (1, 2, 64, 128):
        assert abs(correlation(parameters[:-distance], parameters[distance:])) < DEEP / np.sqrt(NUM_IMAGES)


def test_alternating_flip_shows_both_orientations_in_any_two_successive_epochs() -> None:
    epochs = [sample("altflip", epoch) for epoch in range(5)]
    for one, next_one in itertools.pairwise(epochs):
        assert (one + next_one == 1).all()
    np.testing.assert_array_equal(epochs[0], epochs[4])
    assert abs(correlation(epochs[0], sample("altflip", seed=1))) < DEEP / np.sqrt(NUM_IMAGES)


def test_no_step_draws_the_numbers_that_shuffle_the_images() -> None:
    """The loader's order comes from [seed, epoch]; a trailing 0 would give the same numbers."""
    for seed in (0, 1, 2):
        for epoch in (0, 1, 2):
            order = np.random.default_rng([seed, epoch]).random(100)
            for number in (0, 1):
                for any_epoch in (0, 1, 2):
                    own = RandomStream(seed, number, any_epoch).generator().random(100)
                    assert not np.array_equal(own, order)
