"""The run's TensorBoard event file, for callbacks that write what a logger of Lightning cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def event_writer(trainer: Trainer) -> SummaryWriter | None:
    """The writer of the first rank's event file; None on other ranks, and where TensorBoard is off."""
    found = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return found[0].experiment if found and trainer.is_global_zero else None


def add_picture(writer: SummaryWriter, tag: str, png: bytes, step: int) -> None:
    """Add a PNG file as it is: torch's `add_image` would decode and encode it again."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")  # of the file's header
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def chosen_epochs(num_epochs: int, times: int) -> set[int]:
    """So many epochs of a run, evenly, the first and the last one among them; counted from 1."""
    if times < 2:
        return {num_epochs} if times else set()
    return {1 + round(place * (num_epochs - 1) / (times - 1)) for place in range(times)}
