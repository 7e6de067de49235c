"""Augment batches of training images: the operations, the language that names them, and the pipeline of a run.

An operation is one class, which declares its arguments, their ranges and defaults, its effect and its source beside
its code. A new one is added to `AUGMENTATIONS` in `operations.py`.
"""

from convline.data.augment.base import Augmentation, RandomStream, argument
from convline.data.augment.language import parse_augment
from convline.data.augment.operations import AUGMENTATIONS, markdown_table
from convline.data.augment.pipeline import Pipeline

__all__ = ["AUGMENTATIONS", "Augmentation", "Pipeline", "RandomStream", "argument", "markdown_table", "parse_augment"]
