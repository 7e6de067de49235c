"""Compare six architectures in their forms for small images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from convline.lessons import counts, plots
from convline.lessons.claims import Claim, ExactValue
from convline.lessons.lesson import ONE_CHOICE_OF_IMAGES, Lesson, LessonSweep
from convline.lessons.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {
    "lenet": "LeNet",
    "alexnet": "AlexNet",
    "zfnet": "ZF Net",
    "googlenet": "GoogLeNet",
    "vgg11": "VGGNet (11)",
    "resnet20": "ResNet-20",
}
NOTES = "Stanford's course notes CS231n, “Convolutional Neural Networks: Architectures”"


def _published() -> list[Claim]:
    full = "model=imagenet/"

    def rounded(model: str) -> str:
        return f"{counts.network_summary(full + model).parameters / 1e6:.1f}M"

    return [
        ExactValue(
            f"AlexNet has 60M parameters ({NOTES})",
            "60M",
            partial(rounded, "alexnet_grouped"),
            "61.0M",
            "agrees, to one digit",
        ),
        ExactValue("VGGNet has 140M parameters", "140M", partial(rounded, "vgg16"), "138.4M", "agrees, to two digits"),
        ExactValue(
            "most of VGGNet's are in its first dense layer",
            "102,760,448 weights",
            lambda: f"{int(counts.layer_parameters_text('fc1', full + 'vgg16').replace(',', '')) - 4096:,} weights",
        ),
        ExactValue(
            "GoogLeNet has 4M parameters",
            "4M",
            partial(rounded, "googlenet"),
            "7.0M",
            "the notes err: the rows of its paper's table 1 add up to 6.8M",
        ),
        ExactValue(
            "ResNet-20 has 0.27M parameters (He et al. 2015, table 6)",
            "0.27M",
            lambda: f"{counts.network_summary('model=resnet20', 'data=cifar10').parameters / 1e6:.2f}M",
        ),
    ]


def _zoo(data: str, title: str) -> Lesson:
    return Lesson(
        f"zoo_{data}",
        f"Six architectures on {title}",
        "LeNet, AlexNet, ZF Net, GoogLeNet, VGGNet and ResNet in their forms for small images, each with the same "
        f"budget: 500 images of {title}, made 16×16, eight epochs of Adam. So few steps say how fast a network "
        "begins to learn, not how far it comes. LeNet's text begins with `enlarge(28)`: it sees these images at 28×28, "
        "the others at 16×16.",
        _published,
        (LessonSweep(f"zoo_{data}", tuple(LABELS.values())),),
        {
            f"zoo_{data}": (
                f"Test accuracy of the best of eight epochs by validation, on 500 images of {title}",
                partial(_figure, title),
            )
        },
        "Tested on the first 2,048 test images." + ONE_CHOICE_OF_IMAGES,
        num_seeds=3,
    )


def _figure(title: str, results: Results, _: Mapping[str, Path]) -> Figure:
    return plots.confidence_intervals(results, list(LABELS.values()), f"Six architectures, 500 images of {title}")


ZOO_CIFAR10, ZOO_MNIST = _zoo("cifar10", "CIFAR-10"), _zoo("mnist", "MNIST")
