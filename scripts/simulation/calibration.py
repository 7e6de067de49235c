"""Simulate the expected calibration error of networks that are calibrated perfectly."""

import numpy as np

from convline.figures.calibration import binned
from simulation.tables import Table


def simulate(experiments: int, rng: np.random.Generator) -> list[Table]:
    """Compare the ECE of perfectly calibrated networks with the one that Convline names beside it."""
    columns = ("images", "mean confidence", "average ECE", "average of “by chance about”", "95 % of ECEs are below")
    experiments = max(experiments // 4, 1)
    table = Table("ECE of perfectly calibrated networks", columns, [], f"{experiments:,}")
    for mean in (0.7, 0.97):
        for num_images in (144, 1000, 10_000):
            # confidences from 0.1 on, of ten classes, with a Beta distribution
            parameter = 6 * (mean - 0.1) / 0.9
            confidences = 0.1 + 0.9 * rng.beta(parameter, 6 - parameter, (experiments, num_images))
            is_correct = rng.random((experiments, num_images)) < confidences
            bins = [binned(each, correct) for each, correct in zip(confidences, is_correct, strict=True)]
            errors = np.array([each.ece for each in bins])
            by_chance = float(np.mean([each.ece_by_chance for each in bins]))
            table.rows.append(
                (
                    f"{num_images:,}", f"{mean:.0%}", f"{errors.mean():.2%}", f"{by_chance:.2%}",
                    f"{np.quantile(errors, 0.95):.2%}",
                )
            )  # fmt: skip
    return [table]
