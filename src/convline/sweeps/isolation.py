"""Save and restore process-wide state around a job, so that its result does not depend on the jobs before it."""

import gc
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils import deterministic

from convline.errors import STOP_SIGNALS

# Getter and setter of each process-wide setting of torch.
TORCH: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (torch.get_rng_state, torch.set_rng_state),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, lambda device: torch.set_default_device(None if device.type == "cpu" else device)),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
]
ATTRIBUTES = [
    (torch.backends.cudnn, "enabled"),
    (torch.backends.cudnn, "benchmark"),
    (torch.backends.cudnn, "deterministic"),
    (torch.backends.cudnn, "allow_tf32"),
    (deterministic, "fill_uninitialized_memory"),
    (sys, "argv"),
]


@contextmanager
def isolated() -> Iterator[None]:
    """Restore what the block changes: random states, torch's settings, environment, folder, warnings and loggers.

    Imported modules stay loaded: the jobs of a process share them.
    """
    settings = [read() for read, _ in TORCH]
    values = [getattr(owner, name) for owner, name in ATTRIBUTES]
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    numpy_state, python_state = np.random.get_state(), random.getstate()
    environment, folder = dict(os.environ), os.getcwd()
    handlers = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    loggers = _loggers()
    gc.freeze()  # leaves out existing objects from the collection in _free, which would take a third of a second
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for (read, put_back), value in zip(TORCH, settings, strict=True):
            if not _same(read(), value):  # setting the number of threads, even to what it is, changes how it is chosen
                put_back(value)
        for (owner, name), value in zip(ATTRIBUTES, values, strict=True):
            setattr(owner, name, value)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        for logger, state in loggers:
            logger.handlers[:], logger.filters[:] = state["handlers"], state["filters"]
            logger.disabled, logger.propagate = state["disabled"], state["propagate"]
            logger.setLevel(state["level"])  # which also clears logging's cache of enabled levels
        _free()
        gc.unfreeze()


def _same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def _loggers() -> list[tuple[logging.Logger, dict[str, Any]]]:
    """Return every existing logger with a copy of its settings."""
    known = [entry for entry in logging.root.manager.loggerDict.values() if isinstance(entry, logging.Logger)]
    attributes = ("level", "disabled", "propagate")
    return [
        (
            logger,
            {
                **{key: getattr(logger, key) for key in attributes},
                "handlers": list(logger.handlers),
                "filters": list(logger.filters),
            },
        )
        for logger in [logging.root, *known]
    ]


def _free() -> None:
    """Free the memory of a trainer, its module and their data, which refer to each other in cycles."""
    if "torch._dynamo" in sys.modules:  # it compiles only so many versions of one function, then gives up
        torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
