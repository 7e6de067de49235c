"""Data sets as tensors: each source is a function of the official split.

A source returns all images of "train" or "test" at once, uint8 and unnormalised. Files are checked before they are
believed: a truncated or foreign file is named, with what to do.
"""

from convline.data.sources.base import Images, Part, Source
from convline.data.sources.cifar import cifar10, cifar100
from convline.data.sources.digits import digits
from convline.data.sources.idx import emnist, fashion_mnist, kmnist, mnist
from convline.data.sources.image_folder import folder
from convline.data.sources.svhn import svhn
from convline.data.sources.synthetic import synthetic

__all__ = [
    "Images",
    "Part",
    "Source",
    "cifar10",
    "cifar100",
    "digits",
    "emnist",
    "fashion_mnist",
    "folder",
    "kmnist",
    "mnist",
    "svhn",
    "synthetic",
]
