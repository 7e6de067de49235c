"""Check that the images of a source fit the config, and each other."""

from typing import Any

from torch.utils.data import Dataset

from convline.data.sources import Images
from convline.errors import UserError
from convline.formatting import shape_text


def check_type(images: Any) -> None:
    """Check that a source gives `Images`.

    Raises:
        UserError: it gives something else, such as a torch Dataset.
    """
    if isinstance(images, Images):
        return
    remedy = (
        "Name the Dataset's class itself: data.source._target_=…; it is read whole"
        if isinstance(images, Dataset)
        else 'Return convline.data.sources.Images(images, labels, classes) for "train" and for "test"'
    )
    raise UserError(
        f"data.source gives {type(images).__name__} for one split, but expected is convline.data.sources.Images.\n"
        f"  {remedy}: docs/extend.md"
    )


def check_images(images: Images, channels: int, num_classes: int) -> None:
    """Check that there are images, and that they fit a network with these channels and classes.

    Raises:
        UserError: they do not fit, or there are none.
    """
    num_channels, classes = images.images.shape[1], len(images.classes)
    if not len(images):
        raise UserError("the training or the test set of these data holds no images")
    if num_channels not in (1, channels):
        raise UserError(
            f"the data have {num_channels} channels, but the config says {channels}; "
            "only gray images can be repeated.\n"
            f"  Type: data.channels={num_channels}"
        )
    if classes != num_classes:
        raise UserError(
            f"the data are in {classes} classes, but the config says {num_classes}.\n  Type: data.num_classes={classes}"
        )
    if images.is_multilabel and (
        images.labels.shape[1] != classes or not ((images.labels == 0) | (images.labels == 1)).all()
    ):
        raise UserError(
            f"the labels of these data are {shape_text(images.labels.shape)}, but multi-label images need a column of "
            f"0 and 1 for each of the {classes} classes."
        )


def check_batch_size(batch_size: int, num_train: int) -> None:
    """Check that the training images fill at least one batch.

    Raises:
        UserError: they do not.
    """
    if batch_size > num_train:
        raise UserError(
            f"data.batch_size={batch_size} is larger than the {num_train:,} training images.\n"
            f"  Type a smaller one: data.batch_size={min(32, num_train)}"
        )


def check_same_shape(train: Images, test: Images) -> None:
    """Check that both official sets hold images of one shape.

    Raises:
        UserError: they do not.
    """
    if test.images.shape[1:] != train.images.shape[1:]:
        raise UserError(
            f"the training images are {shape_text(train.images.shape[1:])}, but those of the test set "
            f"{shape_text(test.images.shape[1:])}"
        )
