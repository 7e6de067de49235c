"""Reproduce LeNet-5: as tutorials teach it, and as close to its paper as the pattern language comes."""

from functools import partial

from convline.lessons import counts, plots
from convline.lessons.claims import Claim, ExactValue, PublishedMetric
from convline.lessons.lesson import Lesson, LessonSweep

PAPER = "LeCun, Bottou, Bengio & Haffner, “Gradient-Based Learning Applied to Document Recognition”, 1998"


def _lenet_claims() -> list[Claim]:
    return [
        ExactValue("parameters", "61,706", partial(counts.parameters_text, "experiment=lenet5_mnist")),
        PublishedMetric("test accuracy of the paper's LeNet-5, with an error of 0.95 %", "lenet", "test/acc", 0.9905),
    ]


LENET = Lesson(
    "lenet5_mnist",
    "LeNet-5 as it is taught, on MNIST",
    "ReLU, max pooling, SGD with momentum on batches of 128, five epochs: Convline's defaults. Source of the "
    f"metric: {PAPER}, figure 9 and section III: 20 passes, no distortions.",
    _lenet_claims,
    (LessonSweep("lenet5_mnist", ("lenet",)),),
    {
        "lenet_top_losses": (
            "Misclassified validation images with the highest loss; figure 8 of the paper shows its test images",
            partial(plots.run_figure, "top_losses"),
        )
    },
    "A tenth of the training images validate. The epoch with the best validation accuracy is tested: in each run it "
    "was the last one.",
)


def _lenet_1998_claims() -> list[Claim]:
    return [
        ExactValue(
            "trained parameters",
            "60,000",
            partial(counts.parameters_text, "experiment=lenet5_1998"),
            "61,750",
            "900 more in the second convolution, and 850 in the last layer, which the paper does not train",
        ),
        PublishedMetric(
            "test accuracy of the paper after 20 passes, with an error of 0.95 %", "lenet_1998", "test/acc", 0.9905
        ),
        PublishedMetric(
            "accuracy on the training images after 19 passes, with an error of 0.35 %; ours is the running mean of the "
            "19th",
            "lenet_1998",
            "train/acc@19",
            0.9965,
        ),
    ]


LENET_1998 = Lesson(
    "lenet5_1998",
    "LeNet-5, close to its paper",
    f"tanh, average pooling with a trained factor and bias, 20 epochs. Source: {PAPER}.",
    _lenet_1998_claims,
    (LessonSweep("lenet5_1998", ("lenet_1998",)),),
    {
        "lenet_1998_curve": (
            "Training accuracy of each seed by epoch, from the third on, and the paper's after 19 passes",
            lambda results, _: plots.learning_curves(
                results, "lenet_1998", "train/acc", [float("nan")] * 18 + [0.9965, float("nan")], "LeNet-5 of 1998"
            ),
        )
    },
    "Different from the paper: every map of the second convolution sees all six before it, plain tanh "
    "stands for 1.7159·tanh(2x/3), logits with cross-entropy for radial basis functions, and SGD with momentum on "
    "batches of 128 for steps after each image by estimated second derivatives. 1,000 images validate, and of the 20 "
    "epochs the one with the best validation accuracy is tested.",
)
