"""Simulate the statistics over images: Wilson's interval, the paired bootstrap and McNemar's test."""

from functools import cache

import numpy as np

from convline.reporting.paired_tests import ImageComparison, bootstrap, mcnemar
from convline.reporting.statistics import ALPHA, share_interval
from convline.reporting.verdict import FEW_IMAGES
from simulation.tables import Table, coverage, errors


def simulate(experiments: int, rng: np.random.Generator) -> list[Table]:
    """Simulate all statistics over images."""
    return [
        accuracies(experiments, rng),
        paired_accuracies(experiments, rng),
        paired_losses(max(experiments // 4, 1), rng),
    ]


def accuracies(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate how often the interval of an accuracy over images holds the true accuracy."""
    columns = ("images", "true accuracy", "coverage")
    remark = "With one to three incorrect images, Wilson's limit is replaced by the Poisson distribution's"
    table = Table("Coverage of the 95 % interval of an accuracy over images", columns, [], f"{experiments:,}", remark)
    for num_images in (50, 355, 10_000):
        for truth in (0.5, 0.9, 0.99, 0.999):
            correct = rng.binomial(num_images, truth, experiments).tolist()
            limits = [share_interval(count / num_images, num_images) for count in correct]
            table.rows.append((f"{num_images:,}", f"{truth:.1%}", coverage(limits, truth)))
    return table


@cache
def _accuracy_comparison(num_images: int, only_a: int, only_b: int) -> tuple[ImageComparison, float]:
    """Compare two networks by the counts of images that one alone has correct; the order of images is of no matter."""
    differences = np.zeros(num_images)
    differences[:only_a], differences[only_a : only_a + only_b] = 1, -1
    p = mcnemar(differences > 0, differences < 0)[2]
    return ImageComparison(num_images, bootstrap(differences), only_a + only_b, [], True), p


def paired_accuracies(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate two networks that are correct equally often on other images."""
    columns = ("images", "differing, on average", "bootstrap alone", "“would differ” (six images at least)", "McNemar")
    table = Table(
        "False positives on images: two networks of equal true accuracy",
        columns,
        [],
        f"{experiments:,}",
        "Of equal counts the bootstrap is computed once; 10,000 images would take 2 s each and are left out",
    )
    for num_images in (50, 355):
        for num_differing in (2, 8, 30):
            share = num_differing / num_images / 2
            counts = rng.multinomial(num_images, [share, share, 1 - 2 * share], experiments)[:, :2].tolist()
            found = [_accuracy_comparison(num_images, only_a, only_b) for only_a, only_b in counts]
            table.rows.append(
                (
                    f"{num_images:,}",
                    f"{num_differing}",
                    errors([images.difference.is_supported for images, _ in found], claimed=False),
                    errors([images.is_supported for images, _ in found]),
                    errors([p < ALPHA for _, p in found]),
                )
            )
    return table


def paired_losses(experiments: int, rng: np.random.Generator) -> Table:
    """Simulate the bootstrap of two networks' losses, which are skewed: most images have none, a few a large one."""
    columns = ("images", "coverage of the bootstrap", "“would differ”")
    remark = f"Of fewer than {FEW_IMAGES} images Convline says that such an interval is too narrow"
    table = Table("Bootstrap of cross-entropies over images", columns, [], f"{experiments:,}", remark)
    for num_images in (50, 100, 355):
        claimed = num_images >= FEW_IMAGES
        # the loss of an image is Gamma(0.3): its mean is 0.3, its median 0.04
        losses = rng.gamma(0.3, 1.0, (2, experiments, num_images))
        found = [bootstrap(differences) for differences in losses[0] - losses[1]]
        comparisons = [ImageComparison(num_images, difference, num_images, [], True) for difference in found]
        table.rows.append(
            (
                f"{num_images:,}",
                coverage(((d.low, d.high) for d in found), 0.0, claimed),
                errors([images.is_supported for images in comparisons], claimed),
            )
        )
    return table
