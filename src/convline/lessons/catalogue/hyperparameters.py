"""Measure the effect of hyperparameters: kernels, filters, downsampling, padding, pooling, activations, dropout."""

from convline.lessons import counts, plots
from convline.lessons.claims import BetterThan, Claim, QuotedStatement
from convline.lessons.lesson import ONE_CHOICE_OF_IMAGES, Lesson, LessonSweep
from convline.lessons.results import Results

LABELS = {
    "kernel": ("3×3 windows", "5×5 windows", "7×7 windows"),
    "filters": ("32 filters", "64 filters", "128 filters", "256 filters", "32, 64, 128 filters", "16, 32, 64 filters"),
    "downsampling": ("pooling", "no downsampling"),
    "padding": ("padding: same", "padding: valid"),
    "pooling": ("max pooling", "average pooling", "L2 pooling", "Gaussian pooling"),
    "activation": ("ReLU", "tanh", "sigmoid"),
    "dropout": ("no dropout", "dropout 0.5"),
}
STRIDES = {"downsampling": ("stride 2",)}  # trained by a second command


def _output(stride: int, pad: str) -> int:
    """Compute the output size of a kernel of 3 on 7 pixels."""
    return counts.pattern_summary(f"CONV(8, 3, {stride}, pad={pad}) -> FC", (1, 7, 7)).layers[0].output_shape[1]


def _strides(_: Results) -> tuple[str, bool]:
    size_1, size_2 = _output(1, "valid"), _output(2, "valid")
    return f"7 pixels, windows of 3: {size_1} with stride 1, {size_2} with stride 2", size_1 > size_2


def _paddings(_: Results) -> tuple[str, bool]:
    none, zeros = _output(1, "valid"), _output(1, "same")
    return f"7 pixels, windows of 3: {none} without padding, {zeros} with zeros around them", none < 7 == zeros


def _claims() -> list[Claim]:
    return [
        BetterThan("ReLU learns faster than tanh: validation after three of ten epochs", "ReLU", "tanh", "val/acc@3"),
        BetterThan("... and ends above it", "ReLU", "tanh"),
        BetterThan("ReLU learns faster than sigmoid: the same", "ReLU", "sigmoid", "val/acc@3"),
        BetterThan("... and ends above it", "ReLU", "sigmoid"),
        BetterThan("dropout helps against overfitting", "dropout 0.5", "no dropout"),
        BetterThan("max pooling beats average pooling", "max pooling", "average pooling"),
        BetterThan(
            "padding keeps the border, and accuracy; it takes more parameters", "padding: same", "padding: valid"
        ),
        BetterThan("small windows beat large ones", "3×3 windows", "7×7 windows"),
        BetterThan("strides can stand for pooling", "stride 2", "pooling"),
        BetterThan(
            "numbers of filters that grow with depth beat a constant one; they take more parameters",
            "32, 64, 128 filters",
            "64 filters",
        ),
        QuotedStatement(
            "“a smaller stride gives a smaller output”", _strides, "the lesson errs: it gives a larger one"
        ),
        QuotedStatement(
            "“padding zero”",
            _paddings,
            "two things have this name: no padding (size 0, valid) and padding with the value 0 (same)",
        ),
    ]


HYPERPARAMETERS = Lesson(
    "hyperparameters",
    "What the hyperparameters do",
    "One choice at a time is changed in `[CONV(32, 3) -> RELU -> POOL]*3 -> FC(128) -> RELU -> FC`, on 2,000 images of "
    "CIFAR-10, made 16×16, ten epochs. What holds here holds for so few images and so small a network.",
    _claims,
    (
        *(LessonSweep(f"hyperparameters/{name}", labels) for name, labels in LABELS.items()),
        LessonSweep(
            "hyperparameters/downsampling", STRIDES["downsampling"], "strides", ("model.pool=false", "model.stride=2")
        ),
    ),
    {
        "hyperparameters": (
            "Test accuracy by choice",
            lambda results, _: plots.confidence_intervals(
                results,
                [label for name, labels in LABELS.items() for label in (*labels, *STRIDES.get(name, ()), "")][:-1],
                "One choice at a time, 2,000 images of CIFAR-10",
            ),
        )
    },
    "The epoch with the best validation accuracy is tested. The largest learning rate is the same for all, and was "
    "tuned for none. Padding is compared with two stages: a third would be left without a window. Kinds of pools "
    "are compared in windows of 3×3 with stride 2: in 2×2, all pixels are equally far from the center, and the "
    "weighted average is the average. The base network stands in five of the comparisons: 3×3 windows, 32 filters, "
    "pooling, ReLU and no dropout are the same runs." + ONE_CHOICE_OF_IMAGES,
)
