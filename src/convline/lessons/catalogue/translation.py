"""Translation: equivariance of the convolution, invariance only from pooling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from convline.lessons import plots
from convline.lessons.claims import BetterThan, Claim, QuotedStatement
from convline.lessons.lesson import Lesson, LessonSweep
from convline.lessons.results import Results

if TYPE_CHECKING:
    import matplotlib.figure

    from convline.training.loaded_run import LoadedRun

LABELS = (
    "dense",
    "local, strides",
    "local, pools",
    "conv, strides",
    "conv, pools",
    "conv, pools, mean of all positions",
)


def measure(run: LoadedRun) -> dict[str, float]:
    """Accuracy on moved validation images: "moved/-2/acc" by distance, "moved/±2/acc" the mean of both directions."""
    from convline.figures.translation import shift_curve

    examples = run.examples("val", 2000)
    found = shift_curve(run.network, examples.images, examples.labels)
    accuracy = dict(zip(found.distances, found.accuracy, strict=True))
    both = {f"moved/±{d}/acc": (accuracy[d] + accuracy[-d]) / 2 for d in accuracy if d > 0}
    return {**{f"moved/{d}/acc": value for d, value in accuracy.items()}, **both}


def _equivariance(_: Results) -> tuple[str, bool]:
    """By how much a convolution of a moved image differs from the moved convolution, away from the border."""
    import torch

    from convline.figures.translation import moved
    from convline.network.build import build_network

    torch.manual_seed(0)
    layer = build_network("CONV(8, 3) -> FC", input_shape=(1, 28, 28), num_classes=10).get_submodule("conv1")
    image = torch.randn(1, 1, 28, 28)
    difference = layer(moved(image, 3, 2)) - moved(layer(image), 3, 2)
    largest = difference[..., 6:-6, 6:-6].abs().max().item()
    return f"largest difference inside the border: {largest:g}", largest < 1e-6


def _claims() -> list[Claim]:
    two, four = "moved/±2/acc", "moved/±4/acc"
    return [
        QuotedStatement(
            "“convolutions are translation invariant”",
            _equivariance,
            "they are equivariant: a moved image gives moved maps, the same numbers elsewhere",
        ),
        BetterThan("convolutions bear a move by 2 pixels better than dense layers", "conv, strides", "dense", two),
        BetterThan("sharing weights is what does it, not windows", "conv, strides", "local, strides", two),
        BetterThan("pools make a convolutional network less sensitive", "conv, pools", "conv, strides", two),
        BetterThan("pools make a local network less sensitive", "local, pools", "local, strides", two),
        BetterThan("a mean over all positions more so, at 4 pixels", LABELS[5], "conv, pools", four),
        BetterThan("... but it costs accuracy on images that are not moved", "conv, pools", LABELS[5], "moved/0/acc"),
    ]


def _curves(results: Results, _: Mapping[str, Path]) -> matplotlib.figure.Figure:
    from convline.figures.translation import MAX_SHIFT

    distances = range(-MAX_SHIFT, MAX_SHIFT + 1)
    series = {}
    for name in LABELS:
        samples = [results.configuration(name).sample(f"moved/{distance}/acc") for distance in distances]
        if samples[0].n:
            series[name] = (list(distances), [100 * s.mean for s in samples], [100 * s.sd for s in samples])
    return plots.error_bar_curves(
        series, "Accuracy when digits are moved", "moved by pixels", "% of validation images (± sd)"
    )


TRANSLATION = Lesson(
    "translation",
    "Moved digits",
    "Networks that were trained on digits in the middle are shown digits that are moved by up to four pixels, "
    "across and down.",
    _claims,
    (LessonSweep("translation", LABELS),),
    {"translation": ("Accuracy on moved validation images", _curves)},
    "10,000 images of MNIST; no augmentation, or the networks would learn to bear moves. The 2,000 moved images "
    "are validation images, their edges repeated; the mean of moves across and down.",
    measure=measure,
)
