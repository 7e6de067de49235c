"""Pictures put on a figure are there pixel for pixel, however the figure is written."""

import base64
import io
import re

import numpy as np
import pytest
from IPython.core.pylabtools import print_figure
from PIL import Image

from convline.figures import canvas

PIXELS = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)


@pytest.fixture
def figure():
    figure = canvas.blank(300, 200)
    canvas.paste(figure, PIXELS, 20, 30)
    return figure


def read(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_in_our_own_files(figure):
    drawn = read(canvas.png(figure)).copy()
    assert drawn.shape == (200, 300, 3)
    assert (drawn[30:80, 20:80] == PIXELS).all()
    drawn[30:80, 20:80] = 255
    assert (drawn == 255).all()


def test_in_a_notebook_which_cuts_margins_off(figure):
    drawn = read(print_figure(figure))
    assert drawn.shape[0] < 100
    at_left, at_top = (places.min() for places in np.nonzero((drawn != 255).any(axis=2))[::-1])
    assert (drawn[at_top : at_top + 50, at_left : at_left + 60] == PIXELS).all()


def test_at_twice_the_resolution_each_is_four(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=2 * canvas.DPI)
    assert (read(file.getvalue())[60:160, 40:160] == PIXELS.repeat(2, axis=0).repeat(2, axis=1)).all()


@pytest.mark.parametrize("resolution", [canvas.DPI, 200])
def test_in_svg_by_points(figure, resolution: int):
    file = io.BytesIO()
    figure.savefig(file, format="svg", dpi=resolution)
    (tag,) = re.findall(r"<image .*?/>", file.getvalue().decode(), flags=re.DOTALL)
    found = dict(re.findall(r'([\w:]+)="([^"]*)"', tag))
    assert {key: float(found[key]) for key in ("width", "height", "x")} == {"width": 43.2, "height": 36, "x": 14.4}
    inside = read(base64.b64decode(found["xlink:href"].partition("base64,")[2]))
    size = 50 * resolution // canvas.DPI, 60 * resolution // canvas.DPI
    assert inside.shape[:2] == size
    assert (inside[:: size[0] // 50, :: size[1] // 60] == PIXELS[::-1]).all()  # which the tag turns over
