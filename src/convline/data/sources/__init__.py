"""Read data sets as tensors: each source is a function of the name of the official split.

A source returns all images of "train" or "test" at once, uint8 and not normalized. Files are checked first: an error
names a truncated or foreign file, and says what to do.

A new data set is one function in a module of this package, and one YAML file in `conf/data/` whose
`_target_` names the function by its module. The functions below are exported for short.
"""

from convline.data.sources.base import Images, Source, SplitName
from convline.data.sources.cifar import cifar10, cifar100
from convline.data.sources.digits import digits
from convline.data.sources.idx import emnist, fashion_mnist, kmnist, mnist
from convline.data.sources.image_folder import folder
from convline.data.sources.svhn import svhn
from convline.data.sources.synthetic import synthetic

__all__ = [
    "Images",
    "Source",
    "SplitName",
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
