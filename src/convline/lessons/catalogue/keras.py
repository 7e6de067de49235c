"""Reproduce Keras tutorials: a dense layer on MNIST, a ConvNet on MNIST, a ConvNet on CIFAR-10."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from convline.lessons import counts, plots
from convline.lessons.claims import Claim, ExactValue, PublishedMetric, QuotedStatement, prediction_interval
from convline.lessons.lesson import Lesson, LessonSweep
from convline.lessons.results import Results
from convline.reporting.metric_text import mean_and_spread

if TYPE_CHECKING:
    import matplotlib.figure

RMSPROP = (
    "RMSprop has Keras' constants (ρ 0.9, ε 1e-7); torch adds ε to the root, in which versions of Keras differ. "
    "Weights start as in Keras (Glorot's uniform distribution, biases 0), pixels are divided by 255."
)
PUBLISHED_LOSSES = (1.392, 1.297, 1.243, 1.058, 0.967)


def _test_accuracy(label: str, results: Results) -> tuple[str, bool]:
    test, training = (results.configuration(label).sample(metric) for metric in ("test/acc", "train/acc@5"))
    low, high = prediction_interval(training)
    further = " to ".join(f"{100 * bound:.2f}" for bound in prediction_interval(test))
    return f"test {mean_and_spread('test/acc', test)} %, one further run {further} %", low <= 0.9262 <= high


def _mnist_dense_claims() -> list[Claim]:
    return [
        ExactValue("parameters", "7,850", partial(counts.parameters_text, "experiment=mnist_dense")),
        PublishedMetric("accuracy in the fifth epoch, on training images", "dense", "train/acc@5", 0.9262),
        QuotedStatement(
            "“the accuracy of the network is 0.9262”",
            partial(_test_accuracy, "dense"),
            "it is training accuracy: 0.9262 stands in the log's line of a training epoch; the test accuracy of a run "
            "may be the same",
        ),
    ]


MNIST_DENSE = Lesson(
    "mnist_dense",
    "A dense layer with sigmoid outputs on MNIST",
    "784 pixels, ten sigmoid outputs, Adam, batches of 32, five epochs: the first network of many Keras tutorials. The "
    "log of one of them, which Convline's users learn from, ends with an accuracy of 0.9262.",
    _mnist_dense_claims,
    (LessonSweep("mnist_dense", ("dense",)),),
    {
        "dense_curve": (
            "Training accuracy of each seed by epoch, and the published value",
            lambda results, _: plots.learning_curves(
                results,
                "dense",
                "train/acc",
                [float("nan")] * 4 + [0.9262],
                "A dense layer on MNIST: training accuracy",
            ),
        )
    },
    "Keras computes the cross-entropy of sigmoid outputs from the softmax of their logarithms; so the pattern "
    "ends with `LOGSIGMOID`, and the argmax is the same.",
    num_seeds=5,
)


def _mnist_keras_claims() -> list[Claim]:
    overrides = ("experiment=mnist_keras_convnet",)
    return [
        ExactValue("parameters", "93,322", partial(counts.parameters_text, *overrides)),
        ExactValue(
            "output shapes",
            "26×26×32, 13×13×32, 11×11×64, 5×5×64, 3×3×64",
            partial(counts.output_shapes, ("Conv", "MaxPool"), *overrides),
        ),
        PublishedMetric("test accuracy, as tutorials round it", "convnet", "test/acc", 0.992),
        PublishedMetric("test accuracy, as the book's notebook prints it", "convnet", "test/acc", 0.9913),
        PublishedMetric("training accuracy of the fifth epoch in that notebook", "convnet", "train/acc@5", 0.9943),
    ]


MNIST_KERAS = Lesson(
    "mnist_keras_convnet",
    "The ConvNet of the Keras tutorials on MNIST",
    "Three 3×3 convolutions without padding, two pools, 64 hidden units; RMSprop, batches of 64, five epochs. Source: "
    "Chollet, “Deep Learning with Python”, 2017, section 5.1; its notebook prints 0.9913, and the sentence below says "
    "99.3 %.",
    _mnist_keras_claims,
    (LessonSweep("mnist_keras_convnet", ("convnet",)),),
    {"keras_feature_maps": ("Three digits after every layer", partial(plots.run_figure, "feature_maps"))},
    RMSPROP + " 1,000 of the 60,000 training images validate, and the test is of the epoch that they chose.",
)


def _cifar10_keras_claims() -> list[Claim]:
    overrides = ("experiment=cifar10_keras_convnet",)
    return [
        ExactValue("parameters", "528,054", partial(counts.parameters_text, *overrides)),
        PublishedMetric("test accuracy of the epoch with the lowest validation loss", "convnet", "test/acc", 0.6485),
        *(
            PublishedMetric(f"validation loss, epoch {epoch}", "convnet", f"val/loss@{epoch}", loss)
            for epoch, loss in enumerate(PUBLISHED_LOSSES, 1)
        ),
    ]


def _training_grid(results: Results, first_runs: Mapping[str, Path]) -> matplotlib.figure.Figure:
    from convline.data.samples import preview
    from convline.figures import canvas
    from convline.figures.image_grid import as_tiles, make_grid
    from convline.training.loaded_run import LoadedRun

    images = preview(LoadedRun(first_runs["convnet"]).data, 3, 12)
    pixels = make_grid(as_tiles(images.flatten(0, 1).numpy()), 12, 64)
    figure = canvas.blank(pixels.shape[1], pixels.shape[0])
    canvas.paste(figure, pixels, 0, 0)
    return figure


def _prediction_grid(results: Results, first_runs: Mapping[str, Path]) -> matplotlib.figure.Figure:
    from convline.figures import predictions

    return predictions(first_runs["convnet"], rows=4, columns=8)


CIFAR10_KERAS = Lesson(
    "cifar10_keras_convnet",
    "Three convolutions and dropout on CIFAR-10",
    "Three blocks of a 2×2 convolution and a pool (16, 32, 64 filters), dropout, 500 hidden units; RMSprop, "
    "batches of 32, five epochs, and the weights of the epoch with the lowest validation loss. The network is that of "
    "Udacity's course notebook aind2-cnn, cifar10-classification/cifar10_cnn.ipynb, which trains it for 100 epochs "
    "and prints a test accuracy of 0.68; the figures below are those of a tutorial that trains it for five.",
    _cifar10_keras_claims,
    (LessonSweep("cifar10_keras_convnet", ("convnet",)),),
    {
        "cifar10_training": ("Training images", _training_grid),
        "cifar10_loss": (
            "Validation loss by epoch",
            lambda results, _: plots.learning_curves(
                results, "convnet", "val/loss", PUBLISHED_LOSSES, "CIFAR-10: validation loss"
            ),
        ),
        "cifar10_predictions": (
            "Validation images with the predicted class, its probability and (the true class), blue "
            "if correct and red if incorrect",
            _prediction_grid,
        ),
    },
    RMSPROP + " The first 5,000 training images validate, as there.",
    num_seeds=5,
)
