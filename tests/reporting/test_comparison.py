"""What is compared, by hand, by scipy and by simulation: over seeds, and on the same images."""

import json
import math
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from scipy import stats

from convline.errors import UserError
from convline.reporting import paired_tests as predictions
from convline.reporting.statistics import (
    Sample,
    holm,
    paired,
    pooled_correlation,
    seeds_needed,
    selection_bias,
    share_interval,
    welch,
)
from support.compared import LABELS, comparison_of, made, predict, two_models

# --- intervals over seeds -------------------------------------------------------------------------------------------


def test_welch_by_hand() -> None:
    # means 3 and 7; variances 1 and 4; standard error sqrt(1/3 + 4/3) = sqrt(5/3)
    # degrees of freedom (5/3)² / ((1/3)²/2 + (4/3)²/2) = (25/9) / (17/18) = 50/17
    found = welch(Sample((2.0, 3.0, 4.0)), Sample((5.0, 7.0, 9.0)))
    assert found is not None
    half = stats.t.ppf(0.975, 50 / 17) * math.sqrt(5 / 3)
    assert (found.value, found.low, found.high) == pytest.approx((-4, -4 - half, -4 + half))
    assert found.p == pytest.approx(2 * stats.t.sf(4 / math.sqrt(5 / 3), 50 / 17))
    assert not welch(Sample((1.0, 2.0)), Sample((3.0, 4.0))).is_supported  # type: ignore[union-attr]
    assert welch(Sample((1.0, 1.1)), Sample((3.0, 3.1))).is_supported  # type: ignore[union-attr]


def test_pairs_by_hand() -> None:
    # differences 1, 2, 3: mean 2, standard deviation 1
    found = paired(Sample((2.0, 5.0, 9.0)), Sample((1.0, 3.0, 6.0)))
    assert found is not None
    half = 4.302653 / math.sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2 - half, 2 + half), abs=1e-6)
    assert found.p == pytest.approx(2 * stats.t.sf(2 * math.sqrt(3), 2))
    assert found.n == 3


def test_without_a_spread() -> None:
    one, same, other = Sample((0.5,)), Sample((0.5, 0.5)), Sample((0.6, 0.6))
    assert welch(one, same) is None
    assert paired(one, one) is None
    assert welch(same, same) is None, "two seeds that happen to agree are no proof of equality"
    assert paired(same, same) is None
    assert welch(other, same) is None, "nor of a difference"
    assert paired(other, same) is None
    assert paired(Sample((0.980, 0.982, 0.984)), Sample((0.979, 0.981, 0.983))) is None  # but for rounding


@pytest.mark.parametrize(("k", "maximum"), [(2, 0.5642), (8, 1.4236), (20, 1.8675), (50, 2.2491)])
def test_the_best_of_several_that_are_alike_is_too_good(k: int, maximum: float) -> None:
    # expected maxima of normal samples: Harter, "Expected values of normal order statistics", Biometrika 1961
    assert selection_bias(k, 0.5, 0.4, 5) == pytest.approx(0.5 * 0.4 / math.sqrt(5) * maximum, rel=1e-4)
    assert selection_bias(k, -0.2, 0.4, 5) == 0


def test_the_bias_of_a_choice_by_validation_is_that_of_a_simulation() -> None:
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=(4000, 20, 5)), rng.normal(size=(2, 4000, 20, 5))
    val, test = np.sqrt(0.5) * (common + own)  # correlation 0.5
    chosen = val.mean(2).argmax(1)
    bias = test.mean(2)[np.arange(4000), chosen].mean()
    assert selection_bias(20, 0.5, 1.0, 5) == pytest.approx(bias, abs=0.03)


def test_the_correlation_over_seeds_is_pooled_within_configurations() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(300, 5))
    val, test = shared + rng.normal(size=(300, 5)), shared + rng.normal(size=(300, 5)) + rng.normal(size=(300, 1)) * 9
    pairs = [(Sample(tuple(a)), Sample(tuple(b))) for a, b in zip(val, test, strict=True)]
    assert pooled_correlation(pairs) == pytest.approx(0.5, abs=0.05)
    assert math.isnan(pooled_correlation([(Sample((1.0, 1.0)), Sample((1.0, 2.0)))]))


@pytest.mark.parametrize(("size", "number"), [(0.2, 394), (0.5, 64), (0.8, 26), (1.0, 17), (1.2, 12), (2.0, 6)])
def test_seeds_needed_are_those_of_the_printed_tables(size: float, number: int) -> None:
    # Cohen 1988, table 2.4.1, a₂ = 0.05, power 0.80: 393, 64, 26, 17, 12; 394 where his interpolation says 393
    assert seeds_needed(3 * size, 3.0, 3.0) == number


def test_seeds_needed_give_the_power_also_with_unequal_spreads() -> None:
    number = seeds_needed(1.0, 0.5, 2.0)
    assert number is not None
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 0.5, (20_000, number)), rng.normal(0, 2.0, (20_000, number))
    found = (stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.015)


def test_seeds_needed_at_the_ends() -> None:
    assert seeds_needed(0.0, 1.0, 1.0) is None
    assert seeds_needed(0.05, 1.0, 1.0) is None  # 2 × (1.96 + 0.84)² / 0.05² are more than 6,000
    assert seeds_needed(1e6, 1.0, 1.0) == 2
    assert seeds_needed(-1.0, 1.0, 1.0) == seeds_needed(1.0, 1.0, 1.0)
    assert seeds_needed(0.1, 0.0, 0.0) == 2
    assert seeds_needed(1.0, 0.0, 1.0) is not None


# --- on the same images ---------------------------------------------------------------------------------------------


def test_mcnemar_by_hand() -> None:
    a = np.array([1] * 8 + [0] * 2 + [1] * 5 + [0] * 3, dtype=bool)
    b = np.array([0] * 8 + [1] * 2 + [1] * 5 + [0] * 3, dtype=bool)
    only_a, only_b, p = predictions.mcnemar(a, b)
    assert (only_a, only_b) == (8, 2)
    assert p == pytest.approx(2 * (1 + 10 + 45) / 2**10)  # twice the chance of at most 2 heads in 10
    assert predictions.mcnemar(a, a) == (0, 0, 1.0)


def test_the_bootstrap_is_the_normal_interval_for_many_images() -> None:
    differences = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 4000, p=[0.05, 0.85, 0.10])
    found = predictions.bootstrap(differences)
    half = 1.96 * differences.std() / math.sqrt(4000)
    assert found.value == differences.mean()
    again = predictions.bootstrap(differences)
    assert (again.low, again.high) == (found.low, found.high), "the same data give the same interval"
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.05 * half)


def test_the_bootstrap_covers_the_truth() -> None:
    rng = np.random.default_rng(2)
    with patch.object(predictions, "NUM_RESAMPLES", 499):
        intervals = [predictions.bootstrap(rng.choice([-1.0, 0.0, 1.0], 300, p=[0.1, 0.7, 0.2])) for _ in range(300)]
    covered = np.mean([found.low <= 0.1 <= found.high for found in intervals])
    assert 0.91 <= covered <= 0.98  # 95 %, of 300


def test_the_metric_of_each_image() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    labels = np.array([0, 0])
    assert predictions._metric_per_image(logits, labels, "acc").tolist() == [1.0, 0.0]
    assert predictions._metric_per_image(logits, labels, "loss") == pytest.approx(
        [math.log1p(math.exp(-2)), math.log1p(math.e)]
    )
    large = np.array([[1e4, 0.0]], dtype=np.float32)
    assert predictions._metric_per_image(large, labels[1:], "loss") == pytest.approx([0.0])


def test_networks_of_the_same_seed_are_paired(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.9, 0.9, 0.9], [0.8, 0.8])
    for number, run in enumerate(sorted(tmp_path.glob("*/seed=*"))):
        predict(run, np.arange(400) >= 10 * number)  # dense 0, 1; lenet 0, 1, 2
    images = comparison_of(folders).images
    assert images is not None
    assert images.by_seed
    assert [pair.runs for pair in images.pairs] == [("seed=0", "seed=0"), ("seed=1", "seed=1")]
    assert [(pair.only_a, pair.only_b) for pair in images.pairs] == [(0, 20), (0, 20)]
    # A is right on 1 − (20 + 30 + 40) / 3 / 400 of the images, B on 1 − (0 + 10) / 2 / 400
    assert images.difference.value == pytest.approx((5 - 30) / 400)
    assert images.num_images == 400


def test_other_images_are_refused(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a", 0.9), made(tmp_path / "b", 0.8, "dense")
    predict(a, LABELS >= 0)
    predict(b, LABELS >= 0, LABELS[::-1].copy())
    with pytest.raises(UserError, match="not evaluated on the same test images: their labels differ"):
        comparison_of([str(a), str(b)])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04half", b"not a zip", b"\x93NUMPY\x01\x00"])
def test_damaged_predictions_are_named(content: bytes, tmp_path: Path) -> None:
    a, b = made(tmp_path / "a", 0.9), made(tmp_path / "b", 0.8, "dense")
    predict(a, LABELS >= 0)
    predict(b, LABELS >= 0)
    (b / "predictions" / "test.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"b/predictions/test\.npz is damaged"):
        comparison_of([str(a), str(b)])


def test_without_predictions_other_data_are_refused(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a", 0.9), made(tmp_path / "b", 0.8, "dense")
    assert comparison_of([str(a), str(b)]).images is None
    content = json.loads((b / "environment.json").read_text()) | {"data_fingerprint": "other"}
    (b / "environment.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="not on the same data"):
        comparison_of([str(a), str(b)])


def test_holm_by_hand() -> None:
    # 0.01 · 4, then 0.02 · 3, then 0.03 · 2 = 0.06, then 0.5
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([]) == []


@pytest.mark.parametrize("num_correct", [0, 5, 180, 356, 360])
def test_the_interval_of_an_accuracy_over_images_is_wilsons(num_correct: int) -> None:
    expected = stats.binomtest(num_correct, 360).proportion_ci(0.95, method="wilson")
    assert share_interval(num_correct / 360, 360) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_interval_of_few_images_is_that_of_the_poisson_distribution(count: int) -> None:
    # the mean of a Poisson distribution that gives fewer than `count` with 95 % probability: χ² / 2 (Brown et al. 2001)
    limit = stats.chi2.ppf(0.05, 2 * count) / 2 / 360
    wilson = stats.binomtest(count, 360).proportion_ci(0.95, method="wilson")
    assert share_interval(count / 360, 360) == pytest.approx((limit, wilson.high))
    assert share_interval(1 - count / 360, 360) == pytest.approx((1 - wilson.high, 1 - limit))


@pytest.mark.parametrize("num_images", [50, 355])
def test_the_interval_over_images_holds_near_100_per_cent(num_images: int) -> None:
    counts = np.arange(num_images + 1)
    limits = np.array([share_interval(count / num_images, num_images) for count in counts])
    for num_incorrect in np.geomspace(0.02, 10, 200):  # expected number
        truth = 1 - num_incorrect / num_images
        covered = (limits[:, 0] <= truth) & (truth <= limits[:, 1])
        assert stats.binom.pmf(counts, num_images, truth)[covered].sum() > 0.925  # Wilson's alone: 0.838


@pytest.mark.parametrize(("num_a", "num_b"), [(2, 2), (3, 5), (10, 4)])
def test_intervals_over_seeds_are_scipys(num_a: int, num_b: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.97, 0.01, num_a), rng.normal(0.95, 0.002, num_b)
    found, expected = welch(Sample(tuple(a)), Sample(tuple(b))), stats.ttest_ind(a, b, equal_var=False)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p == pytest.approx(expected.pvalue)
