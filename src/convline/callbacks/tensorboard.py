"""Write to the TensorBoard event file of a run, beyond the methods of Lightning's logger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

if TYPE_CHECKING:
    from torch.utils.tensorboard import FileWriter, SummaryWriter


def event_writer(trainer: Trainer) -> SummaryWriter | None:
    """Return the writer of the event file on the first rank; None on other ranks, or if TensorBoard is off."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return loggers[0].experiment if loggers and trainer.is_global_zero else None


def file_writer(writer: SummaryWriter) -> FileWriter:
    """Return the `FileWriter` of a `SummaryWriter`, which takes summaries and events, and reopen it if it is closed.

    `writer.file_writer` is public, but None once the writer is closed, as Lightning's logger closes it after `fit`.
    """
    # Private in torch 2.15, which has no public way to reopen a closed writer. If it is renamed, the first picture,
    # graph or hyperparameter that is written raises an AttributeError.
    writing: FileWriter = writer._get_file_writer()
    return writing


def add_picture(writer: SummaryWriter, tag: str, png: bytes, step: int) -> None:
    """Add a PNG file to the Images tab unchanged; torch's `add_image` would decode and encode it again."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")  # in the file's header
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    file_writer(writer).add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def chosen_epochs(num_epochs: int, times: int) -> set[int]:
    """Choose at most `times` evenly spaced epochs, with the first and the last; epochs count from 1."""
    times = min(times, num_epochs)
    if times < 2:
        return {num_epochs} if times else set()
    return {1 + round(index * (num_epochs - 1) / (times - 1)) for index in range(times)}
