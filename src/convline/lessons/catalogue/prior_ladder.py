"""Compare dense, locally connected and convolutional networks to measure the effect of weight sharing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from convline.lessons import counts, plots
from convline.lessons.claims import BetterThan, Claim, ExactValue
from convline.lessons.lesson import Lesson, LessonSweep
from convline.lessons.results import Results

if TYPE_CHECKING:
    import matplotlib.figure

KINDS = ("dense", "local", "conv")
SIZES = {
    100: ("data.per_class=10", "trainer.max_epochs=60"),
    1000: ("data.per_class=100", "trainer.max_epochs=20"),
    10000: ("data.per_class=1000", "trainer.max_epochs=6"),
    59000: ("trainer.max_epochs=2",),
}
NOTES = "Stanford's course notes CS231n"


def label(kind: str, size: int) -> str:
    """Name a network by its kind and the number of images that it was trained on."""
    return f"{kind}, {size:,} images"


def _weights() -> str:
    return f"{int(counts.first_layer_parameters_text('FC(1000) -> FC', 1, 1000, 1000).replace(',', '')) - 1000:,}"


def _claims() -> list[Claim]:
    alexnet = "CONV(96, 11, 4, pad=valid) -> FC"
    return [
        ExactValue("weights from a gray image of 1,000×1,000 into 1,000 units", "1,000,000,000", _weights),
        ExactValue(
            f"AlexNet's first layer without shared weights ({NOTES})",
            "105,705,600",
            partial(counts.first_layer_parameters_text, alexnet.replace("CONV", "LOCAL"), 3, 227, 227),
        ),
        ExactValue("... and with them", "34,944", partial(counts.first_layer_parameters_text, alexnet, 3, 227, 227)),
        *(
            BetterThan(f"local windows help, {size:,} images", label("local", size), label("dense", size))
            for size in SIZES
        ),
        *(
            BetterThan(f"sharing weights helps, {size:,} images", label("conv", size), label("local", size))
            for size in SIZES
        ),
    ]


def _ladder(results: Results, _: Mapping[str, Path]) -> matplotlib.figure.Figure:
    series = {}
    for kind in KINDS:
        samples = [(size, results.configuration(label(kind, size)).sample("test/acc")) for size in SIZES]
        known = [(size, 100 * sample.mean, 100 * sample.sd) for size, sample in samples if sample.n > 1]
        count = results.configuration(label(kind, 59000)).num_parameters
        series[f"{kind}: {count:,} parameters"] = tuple(zip(*known, strict=True)) or ((), (), ())
    return plots.error_bar_curves(
        series, "What sharing weights is worth", "training images of MNIST", "test accuracy, % (± sd)", True
    )


PRIOR_LADDER = Lesson(
    "prior_ladder",
    "Dense, local, convolutional",
    "Three networks with the same 3,136 and 784 hidden units: each unit sees the whole image, or a window of its "
    "own, or a window with weights that it shares with its neighbors. With equal units, sharing leaves 10,330 of "
    "4.9 million parameters: what is measured is how little such a network loses, and from how few images it "
    "gains. At equal cost a convolutional network would have many more filters. The order is that of these settings, "
    "not of the kinds: with windows of 5×5 instead of 3×3 and all else as here, "
    "`'model.pattern=\"[CONV(16, 5, 2) -> RELU]*2 -> FC\"'`, the convolutional network has 92.01 ± 0.35 (5) % with "
    "1,000 images and 97.01 ± 0.13 (5) % with 10,000; notebook 06, which also trains otherwise, finds it best.",
    _claims,
    tuple(
        LessonSweep("prior_ladder", tuple(label(kind, size) for kind in KINDS), str(size), words)
        for size, words in SIZES.items()
    ),
    {"prior_ladder": ("Accuracy against the number of training images", _ladder)},
    "`FC(3136) -> FC(784)`, `LOCAL(16, 3, stride 2)` twice, `CONV(16, 3, stride 2)` twice, each with ReLU and a "
    "last dense layer. Each seed also chooses other training and validation images.",
    num_seeds=5,
)
