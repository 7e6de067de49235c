"""The numbers behind the figures of a network, against hand-worked cases and trusted implementations."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from PIL import Image
from torch import nn

from convline.figures import canvas
from convline.figures.attribution import draw as draw_attribution
from convline.figures.attribution import grad_cam, last_map, saliency
from convline.figures.feature_maps import BETWEEN, GAP, MAX_LAYERS, SIDE, choose_layers, row
from convline.figures.feature_maps import draw as draw_feature_maps
from convline.figures.feature_visualization import draw as draw_feature_visualization
from convline.figures.feature_visualization import maximize
from convline.figures.filters import WIDTH, first_weights, tiles
from convline.figures.filters import draw as draw_filters
from convline.figures.image_grid import colored
from convline.figures.receptive_fields import Field, compute_fields
from convline.figures.receptive_fields import draw as draw_receptive_fields
from convline.figures.translation import label, shift_curve, translated
from convline.network.build import build_network
from convline.network.receptive_field import receptive_fields
from support.drawn import assert_nothing_is_cut_off, boxes, texts


class TestFilters:
    def test_the_grid_is_the_weights_pixel_for_pixel(self) -> None:
        """Three filters of 2×2 on gray images, drawn as squares of 75 pixels."""
        after = np.array([[[[1, -1], [0, 0.5]]], [[[0, 0], [0, 0]]], [[[-0.5, 1], [1, 1]]]], np.float32)
        before = np.zeros_like(after)
        figure = draw_filters("conv1", before, after)
        drawn = np.asarray(Image.open(io.BytesIO(canvas.png(figure))))
        size, across = 154, max(154, WIDTH) + 24
        panels = [drawn[70 : 70 + size, 12 + place * across :][:, :size] for place in range(3)]
        gray = [[255, 1], [128, 192]], [[128, 128], [128, 128]], [[64, 255], [255, 255]]
        side = 76  # 38 for a weight: 75 pixels at least, by a whole factor
        for number, wanted in enumerate(gray):
            row, column = divmod(number, 2)
            corner = row * (side + 2), column * (side + 2)
            for panel in panels[1:]:  # after training, and the change, which is the same here
                cell = panel[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
                assert cell[::38, ::38, 0].tolist() == wanted
                assert (cell == np.repeat(np.repeat(cell[::38, ::38], 38, 0), 38, 1)).all()
        assert set(np.unique(panels[0])) == {128, 255}
        assert "black -1, white 1" in texts(figure)

    def test_three_channels_are_colors(self) -> None:
        weights = np.array([[[[1.0]], [[0.0]], [[-1.0]]]], np.float32)
        assert tiles(weights, 1).tolist() == [[[[255, 128, 1]]]]
        two = np.array([[[[1.0]], [[0.0]]]], np.float32)
        assert tiles(two, 1).tolist() == [[[[192, 192, 192]]]]  # their mean

    def test_a_dense_first_layer_has_an_image_a_unit(self) -> None:
        network = build_network("FC(5) -> RELU -> FC", (2, 3, 4), 7)
        name, weights = first_weights(network, (2, 3, 4))
        assert (name, weights.shape) == ("fc1", (5, 2, 3, 4))
        assert (weights[2].flatten() == network.fc1.weight[2].detach().numpy()).all()

    def test_a_layer_without_filters_is_said(self) -> None:
        network = build_network("LOCAL(2, 3) -> FC", (1, 6, 6), 3)
        with pytest.raises(Exception, match="local1, is a Local2d"):
            first_weights(network, (1, 6, 6))


class Tiny(nn.Module):
    """A convolution, ReLU, and logits from the means of its two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(2, 3, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.stack([torch.eye(3)[None], torch.eye(3).flip(0)[None]]))
            self.fc.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, -1]]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.relu(self.conv(images)).mean(dim=(2, 3)))


class TestAttribution:
    def test_grad_cam_equals_captums_own_and_the_paper(self) -> None:
        torch.manual_seed(0)
        network, images, classes = Tiny(), torch.randn(4, 1, 6, 6), torch.tensor([0, 1, 2, 0])
        found = grad_cam(network, "relu", images, classes)
        captums = LayerGradCam(network, network.relu).attribute(images, classes, relu_attributions=True)
        captums = LayerAttribution.interpolate(captums, (6, 6), "bilinear")[:, 0].detach()
        maps = network.relu(network.conv(images)).detach()
        weight = network.fc.weight[classes].detach() / 36  # the logit's gradient by each position of a map
        by_hand = (weight[:, :, None, None] * maps).sum(dim=1).relu()
        for image, (ours, theirs, own) in enumerate(zip(found, captums.numpy(), by_hand.numpy(), strict=True)):
            assert np.allclose(ours, theirs / (theirs.max() or 1), atol=1e-6), image
            assert np.allclose(ours, own / (own.max() or 1), atol=1e-6), image
        assert found[2].max() == 0  # nothing speaks for a class with negative weights
        assert found[0].max() == 1

    def test_saliency_of_a_linear_network_is_its_weights(self) -> None:
        network = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
        images = torch.randn(1, 2, 2, 2)
        found = saliency(network, images, torch.tensor([1]))
        weights = network[1].weight[1].detach().abs().view(2, 2, 2).amax(dim=0)
        assert np.allclose(found[0], weights / weights.max())
        assert network[1].weight.grad is None

    def test_the_last_map_is_before_pooling_and_has_positions(self) -> None:
        lenet = build_network("[CONV(4, 3) -> RELU -> POOL]*2 -> FC", (1, 12, 12), 3)
        assert last_map(lenet, (1, 12, 12)) == "stage2.relu1"
        shrunk = build_network("[CONV(4, 3) -> RELU -> POOL]*2 -> CONV(3, 3, pad=valid) -> GAP -> FC", (1, 12, 12), 3)
        assert last_map(shrunk, (1, 12, 12)) == "stage2.relu1"
        assert last_map(build_network("FC(4) -> RELU -> FC", (1, 12, 12), 3), (1, 12, 12)) is None


LINEAR = [
    "CONV(3, 5, pad=valid) -> AVGPOOL -> CONV(3, 3) -> GAP -> FC",
    "CONV(3, 5, pad=2) -> AVGPOOL(3, 2) -> CONV(3, 5, pad=valid) -> GAP -> FC",
    "CONV(3, 2) -> AVGPOOL -> CONV(3, 2) -> AVGPOOL -> CONV(3, 2) -> GAP -> FC",  # same padding of even windows
    "CONV(3, 3, 2) -> CONV(3, 4, 2) -> GAP -> FC",
    "CONV(3, 3, dilation=2) -> LOCAL(3, 3, pad=same) -> GAP -> FC",
    "CONV(3, 3) -> add{ CONV(3, 3) -> CONV(3, 3) | identity } -> AVGPOOL(2, 2, pad=same) -> CONV(3, 3) -> GAP -> FC",
    "CONV(3, 3) -> concat{ CONV(3, 1) | CONV(3, 5) } -> l2pool -> GAP -> FC",
    "CONV(3, 3) -> concat{ CONV(3, 3) | CONV(3, 2) -> CONV(3, 2) -> CONV(3, 2) } -> CONV(3, 3) -> GAP -> FC",
]


class TestReceptiveFields:
    @pytest.mark.parametrize("pattern", LINEAR)
    @pytest.mark.parametrize("side", [20, 23])
    def test_the_theoretical_window_is_the_gradients_support(self, pattern: str, side: int) -> None:
        network = build_network(pattern, (1, side, side), 2)
        with torch.no_grad():
            for weight in network.parameters():
                weight.abs_()  # so that nothing cancels out
        found = compute_fields(network, torch.rand(1, 1, side, side) + 0.5)
        assert len(found) >= 2
        for name, field in found.items():
            rows, columns = np.nonzero(field.gradient)
            wanted = [max(field.top, 0), max(field.left, 0)]
            assert [rows.min(), columns.min()] == wanted, name
            wanted = [min(field.top + field.height, side), min(field.left + field.width, side)]
            assert [rows.max() + 1, columns.max() + 1] == wanted, name

    def test_lenet_by_hand(self) -> None:
        network = build_network("CONV(6, 5, pad=2) -> POOL -> CONV(16, 5, pad=valid) -> POOL -> FC", (1, 28, 28), 10)
        views = receptive_fields(network, (1, 28, 28))
        assert [(v.size[0], v.jump[0], v.start[0]) for v in views.values() if v][:4] == [
            (5, 1, -2),
            (6, 2, -2),
            (14, 2, -2),
            (16, 4, -2),
        ]

    def test_enlarged_images(self) -> None:
        network = build_network("enlarge(16) -> CONV(2, 3) -> FC", (1, 8, 8), 2)
        view = receptive_fields(network, (1, 8, 8))["conv1"]
        assert view is not None
        assert (view.size[0], view.jump[0], view.start[0]) == (3, 0.5, -1.25)

    def test_the_window_of_enlarged_images_lies_around_the_gradient(self) -> None:
        network = build_network("enlarge(28) -> CONV(1, 5, pad=valid) -> GAP -> FC", (1, 12, 12), 2)
        torch.nn.init.ones_(network.conv1.weight)
        for name, field in compute_fields(network, torch.rand(1, 1, 12, 12)).items():
            middle = (field.gradient.sum(axis=1) * np.arange(12)).sum() / field.gradient.sum()
            assert field.top + field.height / 2 - 0.5 == pytest.approx(middle, abs=1e-5), name

    def test_the_effective_field_counts_pixels(self) -> None:
        gradient = np.zeros((9, 9))
        gradient[3:6, 3:6] = 1
        gradient[0, 0] = 0.045
        assert Field(0, 0, 9, 9, gradient).effective == 3
        assert Field(0, 0, 9, 9, gradient * 0).effective == 0

    def test_long_names_of_layers_do_not_run_into_each_other(self) -> None:
        field = Field(0, 0, 3, 3, np.eye(9))
        names = [f"stage3.basic{number}.add1.branch1.conv1" for number in (1, 2)]
        figure = draw_receptive_fields(dict.fromkeys(names, field))
        found = boxes(figure)
        assert found[names[0]].x1 < found[names[1]].x0
        assert_nothing_is_cut_off(figure)

    def test_a_network_without_windows_has_none(self) -> None:
        assert compute_fields(build_network("FC(3) -> RELU -> FC", (1, 4, 4), 2), torch.rand(1, 1, 4, 4)) == {}


class TestTranslation:
    def test_moved_by_hand(self) -> None:
        image = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])[None, None]
        assert translated(image, 1, 0)[0, 0].tolist() == [[1, 1, 2], [4, 4, 5], [7, 7, 8]]
        assert translated(image, 0, -1)[0, 0].tolist() == [[4, 5, 6], [7, 8, 9], [7, 8, 9]]
        assert torch.equal(translated(image, 0, 0), image)

    def test_a_network_that_looks_at_one_column(self) -> None:
        """Class 1 if the middle column is bright: moving across changes the prediction, moving down does not."""

        class Middle(nn.Module):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                bright = images[:, 0, :, 4].mean(dim=1)
                return torch.stack([0.5 - bright, bright - 0.5], dim=1)

        images = torch.zeros(2, 1, 9, 9)
        images[0, :, :, 4] = 1
        found = shift_curve(Middle(), images, torch.tensor([1, 0]))
        assert found.distances == list(range(-4, 5))
        assert found.accuracy == [0.75] * 4 + [1.0] + [0.75] * 4  # of 2 images × 2 directions one is wrong
        assert found.agreement == found.accuracy

    def test_a_mean_of_a_centered_image_does_not_care(self) -> None:
        network = build_network("CONV(4, 3) -> RELU -> GAP -> FC", (1, 20, 20), 3)
        images = torch.zeros(5, 1, 20, 20)
        images[:, :, 7:13, 7:13] = torch.rand(5, 1, 6, 6)
        found = shift_curve(network, images, torch.zeros(5, dtype=torch.int64))
        assert found.agreement == [1.0] * 9

    @pytest.mark.parametrize(
        ("pattern", "kind"),
        [("POOL", "max"), ("AVGPOOL", "avg"), ("l2pool", "l2"), ("gausspool", "gauss"), ("RELU", "no")],
    )
    def test_lines_are_named_by_their_pooling(self, pattern: str, kind: str) -> None:
        from pathlib import Path

        network = build_network(f"CONV(2, 3) -> {pattern} -> FC", (1, 8, 8), 2)
        run = SimpleNamespace(network=network, run_dir=Path("runs/x"))
        assert label(run) == f"{kind} pooling (x)"  # type: ignore[arg-type]


class TestFeatureMaps:
    def test_long_names_of_classes_stay_within_their_block(self) -> None:
        names = ["a class of images with a name of more than just a few words"] * 2
        made = {"conv1": np.zeros((2, 8, 4, 4), np.float32)}
        figure = draw_feature_maps(np.zeros((2, 4, 4, 3), np.uint8), names, made, num_channels=8)
        assert sum(text.startswith("a class of images with a") and text.endswith("…") for text in texts(figure)) == 2
        assert_nothing_is_cut_off(figure)

    def test_a_row_is_its_maps(self) -> None:
        values = np.zeros((2, 1, 2, 2), np.float32)
        values[1, 0, 0, 0] = 1
        pixels = row(values, num_channels=3)
        block = 3 * (SIDE + GAP) - GAP
        assert pixels.shape == (SIDE, 2 * block + BETWEEN, 3)
        low, high = colored(np.array([0.0, 1.0], np.float32), 0, 1)
        second = pixels[:, block + BETWEEN :]
        assert (pixels[:, :SIDE] == low).all()
        assert (second[: SIDE // 2, : SIDE // 2] == high).all()
        assert (second[SIDE // 2 :, :SIDE] == low).all()
        assert (second[:, SIDE:] == 255).all()  # no second channel

    def test_of_many_layers_some_are_shown(self) -> None:
        few = {f"conv{n}": np.zeros(1) for n in range(MAX_LAYERS)}
        assert list(choose_layers(few)) == list(few)
        many = {f"conv{n}": np.zeros(1) for n in range(100)} | {"add1.branch1.conv1": np.zeros(1), "fc1": np.zeros(1)}
        chosen = list(choose_layers(many))
        assert len(chosen) == MAX_LAYERS
        assert (chosen[0], chosen[-1]) == ("conv0", "fc1")
        assert "add1.branch1.conv1" not in chosen


def test_what_excites_a_linear_filter_is_the_sign_of_its_weights() -> None:
    """A dense unit is excited most by pixels at the limit that its weights point to."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0] * 8 + [-1.0] * 8, [-1.0] * 8 + [1.0] * 8]))
    limits = torch.full((1, 1, 1), -1.0), torch.full((1, 1, 1), 1.0)
    state = torch.get_rng_state()
    found = maximize(
        network, network[1], torch.zeros(2, 1, 4, 4), limits, torch.Generator().manual_seed(0), max_shift=0
    )
    assert torch.allclose(found[0].flatten(), network[1].weight[0].detach(), atol=0.02)
    assert torch.allclose(found[1].flatten(), network[1].weight[1].detach(), atol=0.02)
    assert torch.equal(torch.get_rng_state(), state)


def test_titles_fit_on_figures_of_a_single_small_image() -> None:
    tiles = np.zeros((1, 8, 8, 3), np.uint8)
    assert_nothing_is_cut_off(draw_attribution([(["image"], tiles)], [["0 (0) 99%"]], [True]))
    assert_nothing_is_cut_off(draw_feature_visualization([("fc", tiles)], columns=1))
