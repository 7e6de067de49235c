"""Load batches of data that do not fit into the device's memory, through torch's DataLoader."""

import copy
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.context import BaseContext
from multiprocessing.sharedctypes import RawValue
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from convline.data.loader import Loader, LoaderConfig
from convline.data.preprocess import Preprocessor
from convline.errors import SCHEDULER_SIGNALS, UserError
from convline.formatting import first_line
from convline.signals import signals_blocked, unblock_signals

Gathered = tuple[Tensor, Tensor, Tensor]


class StreamingLoader(Loader):
    """Gather batches in worker processes, and move them to the device while it computes.

    The batches equal the resident loader's bit for bit: order, random parameters and preprocessing are the same code,
    and only the gathering differs. Images may be memory-mapped from a file larger than memory.

    Args:
        images: uint8, N×C×H×W, channels-last, on the host.
        labels: int64, N, on the host.
        indices: indices of the images to load.
        preprocessor, config: see `Loader`.
        num_workers: processes that gather; 0 gathers in this one.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        preprocessor: Preprocessor,
        config: LoaderConfig,
        num_workers: int,
    ) -> None:
        super().__init__(indices, preprocessor, config, len(labels))
        self._batches: Iterator[Gathered] = iter(())
        self._remaining = _RemainingBatches()
        self._source = DataLoader(
            _Gather(images, labels),
            sampler=self._remaining,
            batch_size=None,  # an element is a batch already
            num_workers=num_workers,
            multiprocessing_context=_without_locked_events() if num_workers else None,
            pin_memory=preprocessor.device.type == "cuda",
            persistent_workers=num_workers > 0,
            worker_init_fn=keep_out_of_signals,
            generator=torch.Generator(),  # else the workers' seeds would be drawn from torch's global generator
        )

    def _start(self) -> None:
        positions = range(self.position, self.num_batches)
        # as NumPy's arrays, which are sent whole: of a tensor, a worker would fetch the memory from a thread here
        self._remaining.batches = [self.batch_indices(position).numpy() for position in positions]
        with signals_blocked():  # until `keep_out_of_signals`, a worker has the signal handlers of this process
            self._batches = iter(self._source)

    def _gather(self, position: int) -> Gathered:
        try:
            batch = next(self._batches)
        except (RuntimeError, ConnectionError, EOFError) as error:  # by where it was when it died
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            # an error of the worker itself ends with the error's own line, after the worker's traceback
            is_own = "Original Traceback" in str(error)
            reason = f"failed: {str(error).strip().splitlines()[-1]}" if is_own else f"has died: {first_line(error)}"
            raise UserError(
                f"a worker that brings the images {reason}\n"
                "  If memory or shared memory (/dev/shm) ran out, type fewer: data.num_workers=1; "
                "or data.num_workers=0 for none."
            ) from error
        images, labels, index = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        return images, labels, index


class _Gather(Dataset[Gathered]):
    """Gather a whole batch as one element of the data set, by the batch's indices."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images_NHWC, self.labels = images.permute(0, 2, 3, 1), labels

    def __getitem__(self, positions: np.ndarray) -> Gathered:
        index = torch.from_numpy(positions)
        batch = self.images_NHWC.index_select(0, index), self.labels.index_select(0, index), index
        if get_worker_info() is not None:
            for tensor in batch:  # here an error reaches the training; of the thread that sends batches it would not
                tensor.share_memory_()
        return batch[0].permute(0, 3, 1, 2), *batch[1:]


class _Flag:
    """Stand in for the `Event` by which a DataLoader ends its workers: set once, and never waited for.

    An event has a lock, and a worker that is killed while it holds the lock leaves everyone else waiting for ever.
    """

    def __init__(self) -> None:
        self._value = RawValue(ctypes.c_bool, False)

    def is_set(self) -> bool:
        return bool(self._value.value)

    def set(self) -> None:
        self._value.value = True


def _without_locked_events() -> BaseContext:
    """Return the usual way to start processes, with flags for events."""
    context = copy.copy(multiprocessing.get_context(multiprocessing.get_start_method()))
    context.Event = _Flag  # type: ignore[assignment, method-assign]
    return context


class _RemainingBatches(Sampler[np.ndarray]):
    """Yield the indices of the batches that remain of a loader's epoch.

    It holds no reference to the loader, so there is no cycle: the workers end with the loader's last reference.
    """

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.batches)


def keep_out_of_signals(worker: int) -> None:
    """Protect a worker from signals that are meant for the training process.

    The training process handles an interruption, and still needs the batches that the workers gather. So a worker
    leaves the process group to which a terminal, a scheduler or `timeout` sends its signals, and ignores those that
    some schedulers send to every process of a job. It ends by SIGTERM from its parent alone.
    """
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    report = sys.excepthook
    sys.excepthook = lambda kind, error, trace: _report_unless_parent_left(report, kind, error, trace)
    for signum in (signal.SIGINT, *SCHEDULER_SIGNALS):
        signal.signal(signum, signal.SIG_IGN)
    if hasattr(signal, "sigtimedwait"):  # not on macOS
        # blocked in every thread, SIGTERM waits for the one that learns who has sent it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_exit_on_request, daemon=True).start()
    else:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        unblock_signals(signal.SIGTERM)


def _report_unless_parent_left(report: Any, kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print an error of the thread that hands out batches, but not that an interrupted parent broke off taking one."""
    if not isinstance(error, ConnectionError | EOFError):
        report(kind, error, trace)


def _exit_on_request() -> None:
    """Exit when the training process asks for it by SIGTERM, or is gone."""
    training = multiprocessing.parent_process()  # not always the parent in the system, which may be a fork server
    parent = os.getppid()
    while True:
        received = signal.sigtimedwait([signal.SIGTERM], 1.0)
        if received is not None and received.si_pid in (parent, training and training.pid):
            os._exit(0)
        if os.getppid() != parent or (training is not None and not training.is_alive()):
            os._exit(1)
