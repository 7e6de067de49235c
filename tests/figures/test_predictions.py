"""The numbers behind the figures of predictions, against hand-worked cases and trusted implementations; image grids."""

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from convline.figures import canvas
from convline.figures.calibration import binned
from convline.figures.calibration import draw as draw_calibration
from convline.figures.confusion_matrix import draw as draw_confusion_matrix
from convline.figures.confusion_matrix import matrix, shares
from convline.figures.image_grid import as_tiles, colored, enlarged, fitted, make_grid, signed
from convline.figures.predictions import caption, misclassified_by_loss
from convline.figures.predictions import draw as draw_predictions
from convline.training.evaluation import Evaluation
from support.drawn import assert_nothing_is_cut_off, texts


class TestConfusionMatrix:
    def test_equals_scikit_learn(self) -> None:
        rng = np.random.default_rng(0)
        labels, guesses = rng.integers(0, 7, 500), rng.integers(0, 7, 500)
        labels[labels == 4] = 3  # a class without images, which is predicted
        counts = matrix(labels, guesses, 7)
        assert (counts == sklearn.metrics.confusion_matrix(labels, guesses, labels=range(7))).all()
        of_row = shares(counts)
        normalized = sklearn.metrics.confusion_matrix(labels, guesses, labels=range(7), normalize="true")
        assert np.allclose(of_row, normalized)

    def test_cells_say_their_numbers(self) -> None:
        counts = np.array([[8, 2], [1, 1_000]])
        assert {"8", "2", "1", "1,000"} <= set(texts(draw_confusion_matrix(counts, ["a", "b"], False, "images")))
        normalized = texts(draw_confusion_matrix(counts, ["a", "b"], True, "images"))
        assert {"80.0", "20.0", "0.1", "99.9"} <= set(normalized)
        assert any("99.70% correct" in text for text in normalized)

    def test_a_hundred_classes_are_named_and_the_worst_pairs_told(self) -> None:
        counts = np.diag(np.full(100, 50))
        counts[3, 7] = 9
        names = [f"class number {number}" for number in range(100)]
        figure = draw_confusion_matrix(counts, names, False, "images")
        written = texts(figure)
        assert all(written.count(name) == 2 for name in names)
        assert "   9  class number 3 taken for class number 7" in written
        assert sum("taken for" in text for text in written) == 1
        assert_nothing_is_cut_off(figure)

    @pytest.mark.parametrize("normalized", [False, True])
    def test_titles_of_two_classes_and_long_names_fit(self, normalized: bool) -> None:
        two = draw_confusion_matrix(np.array([[20, 0], [1, 19]]), ["0", "1"], normalized, "40 validation images")
        assert_nothing_is_cut_off(two)
        counts = np.diag(np.full(30, 50)) + np.eye(30, k=1, dtype=np.int64)
        names = [f"a class of images with a name of more than some words, number {number}" for number in range(30)]
        assert_nothing_is_cut_off(draw_confusion_matrix(counts, names, normalized, "1,500 validation images"))


class TestCalibration:
    def test_by_hand(self) -> None:
        chances = np.array([0.4, 0.3, 0.8, 0.9, 0.7])
        right = np.array([True, False, True, True, False])
        bins = binned(chances, right, num_bins=2)
        assert bins.counts.tolist() == [2, 3]
        assert bins.confidence == pytest.approx([0.35, 0.8])
        assert bins.accuracy == pytest.approx([0.5, 2 / 3])
        assert bins.ece == pytest.approx((2 * 0.15 + 3 * (0.8 - 2 / 3)) / 5)

    @pytest.mark.parametrize(("num_images", "mean"), [(144, 0.97), (1000, 0.97), (1000, 0.7), (10_000, 0.7)])
    def test_a_calibrated_network_has_the_error_of_chance(self, num_images: int, mean: float) -> None:
        rng = np.random.default_rng(0)
        found = []
        for _ in range(200):
            chances = rng.beta(10 * mean, 10 * (1 - mean), num_images)
            found.append(binned(chances, rng.random(num_images) < chances))
        simulated = np.mean([bins.ece for bins in found])
        assert np.mean([bins.ece_by_chance for bins in found]) == pytest.approx(simulated, rel=0.15)

    def test_a_chance_on_an_edge_belongs_to_the_bin_below(self) -> None:
        bins = binned(np.array([0.0, 0.5, 1.0]), np.array([True, True, True]), num_bins=2)
        assert bins.counts.tolist() == [2, 1]

    def test_equals_torchmetrics(self) -> None:
        generator = torch.Generator().manual_seed(0)
        logits, labels = 2 * torch.randn(400, 10, generator=generator), torch.randint(10, (400,), generator=generator)
        chances, guesses = logits.softmax(dim=1).max(dim=1)
        ours = binned(chances.double().numpy(), (guesses == labels).numpy()).ece
        theirs = multiclass_calibration_error(logits, labels, num_classes=10, n_bins=15, norm="l1")
        assert ours == pytest.approx(theirs.item(), abs=1e-6)

    def test_the_figure_tells_it(self) -> None:
        bins = binned(np.array([0.75, 0.75]), np.array([True, False]))
        by_chance = 100 * math.sqrt(2 / math.pi * 2 * 0.75 * 0.25) / 2
        title = f"Calibration: ECE 25.00% (by chance about {by_chance:.2f}%)"
        assert title in texts(draw_calibration(bins, "2 images"))


class TestImageGrid:
    def test_pixel_for_pixel(self) -> None:
        tiles = np.array([[[[1] * 3, [2] * 3]], [[[3] * 3, [4] * 3]], [[[5] * 3, [6] * 3]]], np.uint8)  # 3 of 1×2
        picture = make_grid(tiles, columns=2, side=4, gap=1, color=9)
        assert (picture == picture[..., :1]).all()
        assert picture[..., 0].tolist() == [
            [1, 1, 2, 2, 9, 3, 3, 4, 4],
            [1, 1, 2, 2, 9, 3, 3, 4, 4],
            [9, 9, 9, 9, 9, 9, 9, 9, 9],
            [5, 5, 6, 6, 9, 9, 9, 9, 9],
            [5, 5, 6, 6, 9, 9, 9, 9, 9],
        ]

    def test_grey_values_of_signed_numbers(self) -> None:
        values = np.array([-2, -1, -0.5, 0, 0.5, 1, 2], np.float32)
        assert signed(values, 1).tolist() == [1, 1, 64, 128, 192, 255, 255]
        assert signed(values, 0).tolist() == [128] * 7

    def test_tiles_of_one_three_and_other_numbers_of_channels(self) -> None:
        pictures = np.arange(2 * 4 * 1 * 2, dtype=np.uint8).reshape(2, 4, 1, 2)
        assert as_tiles(pictures).tolist() == [[[[0] * 3, [1] * 3]], [[[8] * 3, [9] * 3]]]
        assert as_tiles(pictures[:, :3]).tolist()[0] == [[[0, 2, 4], [1, 3, 5]]]

    def test_fitted_repeats_or_averages(self) -> None:
        small = np.array([[[1, 2], [3, 4]]], np.float32)
        assert fitted(small, 4, 2)[0].tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
        assert fitted(small, 1, 1)[0].tolist() == [[2.5]]

    def test_colors_are_those_of_matplotlib(self) -> None:
        from matplotlib import colormaps

        found = colored(np.array([[1.0, 3.0]], np.float32), 1, 3)
        assert found.shape == (1, 2, 3)
        assert found[0, 1].tolist() == list(colormaps["viridis"](1.0, bytes=True)[:3])
        assert colored(np.ones((1, 1), np.float32), 1, 1).tolist() == [
            [list(colormaps["viridis"](0.0, bytes=True)[:3])]
        ]


class TestPredictions:
    def test_the_worst_come_first_and_right_ones_never(self) -> None:
        logits = torch.tensor([[2.0, 0], [0, 3], [0, 1], [1, 0]])
        said = Evaluation(logits, torch.tensor([0, 0, 0, 1]))
        assert misclassified_by_loss(said).tolist() == [1, 2, 3]  # losses 3.05, 1.31, 1.31

    def test_captions(self) -> None:
        assert caption("1", "0", 0.987, 1) == ["1 (0) 99%"]
        assert caption("cat", "automobile", 0.5, 27) == ["cat 50%", "(automobile)"]
        assert caption("a very long name of a class", "cat", 0.5, 27) == ["a very long n… 50%", "(cat)"]

    def test_blue_is_right_and_red_is_wrong(self) -> None:
        tiles = np.zeros((2, 4, 4, 3), np.uint8)
        figure = draw_predictions(tiles, [["1 (1) 90%"], ["2 (1) 80%"]], [True, False], 2, "title")
        colors = {text.get_text(): text.get_color() for text in figure.texts}
        assert colors["1 (1) 90%"] == canvas.CORRECT
        assert colors["2 (1) 80%"] == canvas.INCORRECT


def test_files() -> None:
    figure = canvas.blank(120, 50)
    canvas.write(figure, 10, 10, "cost: $5 & more")
    png, svg = canvas.png(figure), canvas.svg(figure)
    assert png.startswith(b"\x89PNG")
    assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (120, 50)
    assert b"$5 &amp; more" in svg
    assert canvas.svg(figure) == svg


def test_text_is_no_wider_than_said() -> None:
    for text in ("automobile", "WWWW mmm", "stage2.inception4.concat1.branch3", "8 (8) 100%", "illicit ill"):
        figure = canvas.blank(900, 60)
        canvas.write(figure, 10, 10, text, canvas.LARGE)
        width = figure.texts[0].get_window_extent().width
        assert width <= canvas.text_width(text, canvas.LARGE) <= 1.5 * width, text
    assert math.isclose(canvas.text_width("", 10), 0)


def test_enlarging_keeps_large_images() -> None:
    tiles = np.zeros((1, 30, 20, 3), np.uint8)
    assert enlarged(tiles, 10).shape == (1, 30, 20, 3)
    assert enlarged(tiles, 31).shape == (1, 60, 40, 3)
