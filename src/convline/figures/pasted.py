"""Pixels on a figure, as they are. Imports matplotlib, which takes a third of a second: see `canvas.paste`."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray


class Pasted(Artist):
    """An image whose pixels are those of the figure at its own resolution, and nearest ones at others.

    `imshow` would resample it to the size that it has, in axes that take as long again.

    Args:
        figure: that it is put on.
        pixels: height × width × 3, bytes.
        left, top: pixels from the figure's left and upper edge to the image's.
    """

    def __init__(self, figure: Figure, pixels: NDArray[np.uint8], left: float, top: float) -> None:
        super().__init__()
        opaque = np.full_like(pixels[..., :1], 255)
        self._upwards = np.concatenate([pixels, opaque], axis=2)[::-1]  # as renderers count rows
        self._dpi = figure.dpi
        width, height = figure.get_size_inches() * figure.dpi
        self._corner = left / width, 1 - (top + len(pixels)) / height

    def get_window_extent(self, renderer: RendererBase | None = None) -> Bbox:
        """Where it is drawn."""
        figure = self.get_figure(root=True)
        assert figure is not None
        height, width = (number * figure.dpi / self._dpi for number in self._upwards.shape[:2])
        left, bottom = figure.transFigure.transform(self._corner)
        return Bbox.from_bounds(left, bottom, width, height)

    def draw(self, renderer: RendererBase) -> None:
        """Draw it; a backend whose images are finer than its unit of length says by how much."""
        box, finer = self.get_window_extent(), renderer.get_image_magnification()
        rows, columns = (
            np.arange(round(size * finer)) * number // round(size * finer)
            for size, number in zip((box.height, box.width), self._upwards.shape[:2], strict=True)
        )
        context = renderer.new_gc()
        renderer.draw_image(context, box.x0, box.y0, np.ascontiguousarray(self._upwards[rows][:, columns]))
        context.restore()
