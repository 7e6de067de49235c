"""Measure translation: convolutions are equivariant, and only pooling makes a network more invariant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from convline.lessons import plots
from convline.lessons.claims import BetterThan, Claim, QuotedStatement
from convline.lessons.lesson import ONE_CHOICE_OF_IMAGES, Lesson, LessonSweep
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
    "conv, pools, global average",
)


def measure(run: LoadedRun) -> dict[str, float]:
    """Measure accuracy on translated validation images.

    Returns:
        "translation/-2/acc" for each distance in pixels, and "translation/±2/acc" for the mean of both directions.
    """
    from convline.figures.translation import shift_curve

    examples = run.samples("val", 2000)
    curve = shift_curve(run.network, examples.images, examples.labels)
    accuracy = dict(zip(curve.distances, curve.accuracy, strict=True))
    both = {f"translation/±{d}/acc": (accuracy[d] + accuracy[-d]) / 2 for d in accuracy if d > 0}
    return {**{f"translation/{d}/acc": value for d, value in accuracy.items()}, **both}


def _equivariance(_: Results) -> tuple[str, bool]:
    """Compare the convolution of a translated image with the translated convolution, away from the border."""
    import torch

    from convline.figures.translation import translated
    from convline.network.build import build_network

    torch.manual_seed(0)
    layer = build_network("CONV(8, 3) -> FC", input_shape=(1, 28, 28), num_classes=10).get_submodule("conv1")
    image = torch.randn(1, 1, 28, 28)
    difference = layer(translated(image, 3, 2)) - translated(layer(image), 3, 2)
    largest = difference[..., 6:-6, 6:-6].abs().max().item()
    return f"largest difference inside the border: {largest:g}", largest < 1e-6


def _claims() -> list[Claim]:
    two, four = "translation/±2/acc", "translation/±4/acc"
    return [
        QuotedStatement(
            "“convolutions are translation invariant”",
            _equivariance,
            "they are equivariant: a translated image gives translated feature maps with the same numbers",
        ),
        BetterThan(
            "convolutions tolerate a translation of 2 pixels better than dense layers", "conv, strides", "dense", two
        ),
        BetterThan("the reason is weight sharing, not windows", "conv, strides", "local, strides", two),
        BetterThan("pools make a convolutional network less sensitive", "conv, pools", "conv, strides", two),
        BetterThan("pools make a local network less sensitive", "local, pools", "local, strides", two),
        BetterThan("global average pooling makes it even less sensitive, at 4 pixels", LABELS[5], "conv, pools", four),
        BetterThan(
            "... but it costs accuracy on images that are not translated", "conv, pools", LABELS[5], "translation/0/acc"
        ),
    ]


def _curves(results: Results, _: Mapping[str, Path]) -> matplotlib.figure.Figure:
    from convline.figures.translation import MAX_SHIFT

    distances = range(-MAX_SHIFT, MAX_SHIFT + 1)
    series = {}
    for name in LABELS:
        samples = [results.configuration(name).sample(f"translation/{distance}/acc") for distance in distances]
        if samples[0].n:
            series[name] = (list(distances), [100 * s.mean for s in samples], [100 * s.sd for s in samples])
    return plots.error_bar_curves(
        series, "Accuracy on translated digits", "translation in pixels", "% of validation images (± sd)"
    )


TRANSLATION = Lesson(
    "translation",
    "Translated digits",
    "Networks that were trained on centered digits are evaluated on digits that are translated by up to four "
    "pixels, across and down.",
    _claims,
    (LessonSweep("translation", LABELS),),
    {"translation": ("Accuracy on translated validation images", _curves)},
    "10,000 images of MNIST; no augmentation, or the networks would learn to tolerate translations. The 2,000 "
    "translated images are validation images, with replicate padding; accuracy is the mean of horizontal and vertical "
    "translations." + ONE_CHOICE_OF_IMAGES,
    measure=measure,
)
