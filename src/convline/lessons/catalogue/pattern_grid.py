"""Measure depth: train every network of the grammar up to three convolutions, three stages and two hidden layers."""

from itertools import product

from convline.lessons import plots
from convline.lessons.claims import BetterThan, Claim, QuotedStatement
from convline.lessons.lesson import ONE_CHOICE_OF_IMAGES, Lesson, LessonSweep
from convline.lessons.results import Results


def label(n: int, m: int, k: int) -> str:
    """Name a network of the grid."""
    return f"N={n} M={m} K={k}"


def _claims() -> list[Claim]:
    return [
        BetterThan("a convolution helps: one stage against none", label(1, 1, 0), label(0, 0, 0)),
        BetterThan("a second stage helps", label(1, 2, 0), label(1, 1, 0)),
        BetterThan("two convolutions a stage help: small windows stacked", label(2, 2, 0), label(1, 2, 0)),
        BetterThan("a hidden layer helps where there is no convolution", label(0, 0, 1), label(0, 0, 0)),
        BetterThan("a hidden layer helps after two stages", label(1, 2, 1), label(1, 2, 0)),
        BetterThan("pooling alone, without convolutions, loses", label(0, 0, 0), label(0, 2, 0)),
        QuotedStatement(
            "“deeper is better”",
            _collapse,
            "plain stacks of nine convolutions begin to fail: they need normalization or shortcuts, or a smaller rate",
        ),
    ]


def _collapse(results: Results) -> tuple[str, bool]:
    configurations = [results.configuration(label(3, 3, k)) for k in range(3)]
    failed = sum(configuration.num_failed for configuration in configurations)
    runs = sum(len(configuration.seeds) for configuration in configurations)
    return f"N=3, M=3: {failed} of {runs} runs learned nothing", failed > 0


PATTERN_GRID = Lesson(
    "pattern_grid",
    "What depth buys",
    "`INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*K -> FC` with N and M from 0 to 3 and K from 0 to 2, "
    "on a tenth of MNIST's training images, made 16×16, three epochs. Source of the grammar: Stanford's course "
    "notes CS231n, “Layer Patterns”.",
    _claims,
    (LessonSweep("pattern_grid", tuple(label(n, m, k) for n, m, k in product(range(4), range(4), range(3)))),),
    {
        "pattern_grid": (
            "Mean test accuracy over seeds, and how many of them learned nothing; the color scale leaves these out",
            lambda results, _: plots.heatmaps(
                results,
                "Test accuracy on MNIST, %",
                [(f"K={k}", [[label(n, m, k) for n in range(4)] for m in range(4)]) for k in range(3)],
                [f"N={n}" for n in range(4)],
                [f"M={m}" for m in range(4)],
            ),
        )
    },
    "16 filters of 3×3, hidden layers of 128. With M=0 there are no convolutions, whatever N: those four networks "
    "are the same, and give the same figures." + ONE_CHOICE_OF_IMAGES,
)
