"""Check the worked examples of convolution that tutorials and papers print."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from convline.lessons.claims import Claim, ExactValue
from convline.lessons.lesson import Lesson

if TYPE_CHECKING:
    from collections.abc import Callable


def _numbers(array: Any) -> str:
    """Format an array as `12 12 17 / 10 17 19`; of a large one, only its shape and its sum."""
    import numpy as np

    rows = np.atleast_2d(array)
    if rows.size > 25:
        return f"{len(rows)}×{rows.shape[1]} numbers that add up to {rows.sum():g}"
    return " / ".join(" ".join(f"{value:g}" for value in row) for row in rows)


def _claims() -> list[Claim]:
    from convline.lessons.by_hand import worked_examples

    return [
        ExactValue(
            f"{example.name} ({example.source})", _numbers(example.published), partial(_numbers, example.computed)
        )
        for example in worked_examples()
    ]


def _figure(name: str) -> Callable[..., Any]:
    def draw(*_: Any) -> Any:
        from convline.lessons.by_hand import figures

        return getattr(figures, name)()

    return draw


CONVOLUTION_BY_HAND = Lesson(
    "convolution_by_hand",
    "Convolution by hand",
    "The numbers that tutorials print, computed again in plain NumPy. What deep learning calls convolution is "
    "cross-correlation: the printed 12 12 17 … comes from the kernel as it stands, and the flipped kernel gives 18 "
    "20 19 ….",
    _claims,
    figures={
        "sliding_window": ("A window slides over the image", _figure("sliding_window")),
        "edge_kernels": ("Edge kernels", _figure("edge_kernels")),
        "toeplitz_matrix": ("The same convolution as a matrix product", _figure("toeplitz_matrix")),
        "forward_backward": ("Forward and backward", _figure("forward_backward")),
    },
)
