"""Define the lessons, one file per topic, and list them by name in `LESSONS`."""

from convline.lessons.catalogue.convolution_by_hand import CONVOLUTION_BY_HAND
from convline.lessons.catalogue.hyperparameters import HYPERPARAMETERS
from convline.lessons.catalogue.keras import CIFAR10_KERAS, MNIST_DENSE, MNIST_KERAS
from convline.lessons.catalogue.lenet import LENET, LENET_1998
from convline.lessons.catalogue.pattern_grid import PATTERN_GRID
from convline.lessons.catalogue.prior_ladder import PRIOR_LADDER
from convline.lessons.catalogue.translation import TRANSLATION
from convline.lessons.catalogue.zoo import ZOO_CIFAR10, ZOO_MNIST
from convline.lessons.lesson import Lesson

__all__ = ["LESSONS"]

LESSONS: dict[str, Lesson] = {
    lesson.name: lesson
    for lesson in (
        MNIST_DENSE,
        MNIST_KERAS,
        CIFAR10_KERAS,
        LENET,
        LENET_1998,
        ZOO_CIFAR10,
        ZOO_MNIST,
        PATTERN_GRID,
        HYPERPARAMETERS,
        PRIOR_LADDER,
        TRANSLATION,
        CONVOLUTION_BY_HAND,
    )
}
