"""Convolution by hand against pencil and paper, torch and SciPy."""

import itertools
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage, signal

from convline.figures.canvas import png
from convline.lessons import by_hand
from convline.lessons.by_hand import (
    KERNELS,
    convolve,
    correlate,
    flipped,
    gradients,
    output_size,
    toeplitz,
    worked_examples,
)
from convline.lessons.by_hand import figures as pictures
from convline.lessons.by_hand.figures.matrix_table import format_number
from convline.lessons.by_hand.figures.sliding_window import arithmetic
from support.commands import shell

CASES = [
    (shape, kernel, stride, padding)
    for shape, kernel, stride, padding in itertools.product(
        [(7, 7), (6, 9)], [(3, 3), (2, 4), (1, 1)], [1, 2, 3], [0, 1, 2]
    )
]


def random_arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal(shape) for shape in shapes]


def test_a_window_of_four_pixels() -> None:
    image = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert correlate(image, [[1, 0], [0, -1]]).tolist() == [[-4, -4], [-4, -4]]  # 1 - 5, 2 - 6, 4 - 8, 5 - 9
    assert convolve(image, [[1, 0], [0, -1]]).tolist() == [[4, 4], [4, 4]]
    assert correlate(image, [[10, 1]], stride=2).tolist() == [[12], [78]]
    assert correlate(image, [[10, 1]], padding=1)[1].tolist() == [1, 12, 23, 30]
    assert flipped([[1, 2], [3, 4]]).tolist() == [[4, 3], [2, 1]]


def test_bytes_do_not_overflow() -> None:
    white = np.full((2, 2), 255, np.uint8)
    assert correlate(white, np.ones((2, 2), np.uint8)).tolist() == [[1020]]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_correlation_gradients_and_matrix_are_those_of_torch(case: tuple) -> None:
    shape, kernel_shape, stride, padding = case
    image, kernel = random_arrays(shape, kernel_shape)
    leaves = [torch.from_numpy(array).requires_grad_() for array in (image, kernel)]
    output = F.conv2d(leaves[0][None, None], leaves[1][None, None], stride=stride, padding=padding)[0, 0]
    np.testing.assert_allclose(correlate(image, kernel, stride, padding), output.detach().numpy(), atol=1e-12)
    assert output.shape == tuple(
        output_size(*sizes, stride, padding) for sizes in zip(shape, kernel_shape, strict=True)
    )
    matrix = toeplitz(kernel, shape, stride, padding)
    np.testing.assert_allclose(matrix @ image.ravel(), output.detach().numpy().ravel(), atol=1e-12)

    (upstream,) = random_arrays(tuple(output.shape))
    expected = torch.autograd.grad(output, leaves, torch.from_numpy(upstream))
    image_gradient, kernel_gradient = gradients(image, kernel, upstream, stride, padding)
    np.testing.assert_allclose(image_gradient, expected[0].numpy(), atol=1e-12)
    np.testing.assert_allclose(kernel_gradient, expected[1].numpy(), atol=1e-12)
    np.testing.assert_allclose(image_gradient.ravel(), matrix.T @ upstream.ravel(), atol=1e-12)


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1)])
def test_channels_and_filters(stride: int, padding: int) -> None:
    image, kernel = random_arrays((3, 7, 6), (4, 3, 3, 2))
    leaves = [torch.from_numpy(array).requires_grad_() for array in (image, kernel)]
    output = F.conv2d(leaves[0][None], leaves[1], stride=stride, padding=padding)[0]
    np.testing.assert_allclose(correlate(image, kernel, stride, padding), output.detach().numpy(), atol=1e-12)
    (upstream,) = random_arrays(tuple(output.shape))
    expected = torch.autograd.grad(output, leaves, torch.from_numpy(upstream))
    for ours, theirs in zip(gradients(image, kernel, upstream, stride, padding), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-12)


def test_scipy_agrees() -> None:
    image, kernel = random_arrays((8, 9), (3, 4))
    np.testing.assert_allclose(correlate(image, kernel), signal.correlate2d(image, kernel, "valid"))
    np.testing.assert_allclose(convolve(image, kernel), signal.convolve2d(image, kernel, "valid"))
    np.testing.assert_allclose(convolve(image, kernel[:, :3], padding=2), signal.convolve2d(image, kernel[:, :3]))


def test_designed_kernels_are_those_of_scipy() -> None:
    (image,) = random_arrays((6, 6))
    for name, theirs in (
        ("Sobel, right", ndimage.sobel(image, axis=1)),
        ("Sobel, down", ndimage.sobel(image, axis=0)),
        ("Prewitt, right", ndimage.prewitt(image, axis=1)),
        ("Prewitt, down", ndimage.prewitt(image, axis=0)),
        ("Laplacian", ndimage.laplace(image)),
        ("box blur", ndimage.uniform_filter(image, 3)),
        ("sharpen", image - ndimage.laplace(image)),
    ):
        np.testing.assert_allclose(correlate(image, KERNELS[name].weights), theirs[1:-1, 1:-1], err_msg=name)


def test_kernels_keep_the_brightness_or_take_it_away() -> None:
    for name, kernel in KERNELS.items():
        keeps = name in ("identity", "box blur", "binomial blur", "sharpen")
        assert kernel.weights.sum() == pytest.approx(1 if keeps else 0), name
        assert kernel.effect
        assert kernel.source


def test_sizes() -> None:
    assert output_size(28, 5) == 24
    assert output_size(224, 11, stride=4, padding=2) == 55  # AlexNet's first layer
    assert [output_size(32, 3, stride, 1) for stride in (1, 2, 3)] == [32, 16, 11]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: output_size(4, 7, 1, 1), "a kernel of 7 pixels does not fit into 4 pixels with padding 1"),
        (lambda: output_size(4, 3, 0), "stride 0 must be at least 1"),
        (lambda: correlate(np.ones((2, 2)), np.ones((3, 3))), "a kernel of 3 pixels does not fit into 2 pixels"),
        (lambda: correlate(np.ones((3, 4, 4)), np.ones((3, 3))), "the image is 3×4×4 and the kernel 3×3"),
        (lambda: correlate(np.ones((3, 4, 4)), np.ones((2, 1, 3, 3))), "the kernel 2×1×3×3"),
        (lambda: toeplitz([1, 2], (4, 4)), "must be a matrix h×w, but has 1 dimensions"),
        (
            lambda: gradients(np.ones((4, 4)), np.ones((3, 3)), np.ones((3, 3))),
            r"upstream must have the output's shape \(2, 2\), but has \(3, 3\)",
        ),
        (lambda: pictures.sliding_window(at=(5, 0)), r"the output is 5×5, so there is no place \(5, 0\) in it"),
    ],
)
def test_what_does_not_fit_is_said(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("example", worked_examples(), ids=lambda example: example.name)
def test_printed_numbers_come_out(example: by_hand.WorkedExample) -> None:
    np.testing.assert_allclose(example.computed, example.published, atol=1e-12)
    assert example.agrees
    assert not by_hand.WorkedExample("wrong", example.published + 1e-6, example.computed, "").agrees


def test_the_arithmetic_is_written_out() -> None:
    assert arithmetic(np.array([[0, 2], [3, 4]]), np.array([[5, -1], [0, 2]])) == "− 1·2 + 2·4 = 6"
    assert arithmetic(np.zeros((2, 2)), np.ones((2, 2))) == "0 = 0"
    figure = pictures.sliding_window()
    assert "5·60 − 1·113 − 1·73 = 114" in [text.get_text() for text in figure.texts]


def test_numbers_in_tables() -> None:
    assert [format_number(value) for value in (0, -3, 2.0, -0.125, 1 / 3)] == ["0", "−3", "2", "−0.12", "0.33"]


def test_tables_hold_the_numbers() -> None:
    shown = [text.get_text() for axes in pictures.forward_backward().axes for text in axes.texts]
    assert shown[:5] == ["3", "3", "2", "1", "0"]
    assert shown[34:43] == ["12", "12", "17", "10", "17", "19", "9", "6", "14"]  # after image and kernel
    assert shown[-9:] == ["1"] * 9


@pytest.mark.parametrize(
    "draw",
    [
        pictures.sliding_window,
        lambda: pictures.sliding_window(stride=2, at=(1, 2)),
        lambda: pictures.sliding_window(np.full((2, 2), 200), [[1, 2], [3, 4]], padding=0),
        pictures.toeplitz_matrix,
        lambda: pictures.toeplitz_matrix([[1.5, -1]], (2, 3), stride=2, padding=1),
        pictures.edge_kernels,
        lambda: pictures.edge_kernels(np.zeros((8, 8), np.uint8), ["identity"]),
        lambda: pictures.edge_kernels(np.eye(28)),
        pictures.forward_backward,
        lambda: pictures.forward_backward(stride=2, padding=1),
        lambda: pictures.forward_backward([[1, 2]], [[3]]),
    ],
)
def test_figures_are_drawn_within_their_edges(draw) -> None:
    figure = draw()
    png(figure)
    width, height = figure.get_size_inches() * 100
    for axes in figure.axes:
        box = axes.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
    for text in figure.texts:
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= width, text.get_text()


def test_it_needs_no_torch() -> None:
    code = "import sys, convline.lessons.by_hand; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert shell(sys.executable, "-c", code).status == 0
