"""Find the largest batch size that fits into memory, for `convline batch-size-find`, by real training steps.

On a GPU a size does not fit if torch runs out of memory. On a CPU the machine would swap, or kill other processes,
before that; so a size is not tried there if the memory that it needs at most, by the steps before it, is not there.
"""

import gc
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig

from convline.commands.lr_find import device_of, endless_batches
from convline.config import load_config
from convline.data.loader import LoaderConfig
from convline.errors import UserError
from convline.machine import available_memory
from convline.run.console import print_notice
from convline.training.setup import build
from convline.training.step import TrainingStep

FIRST_SIZE = 2  # batch normalization cannot train on one image
MAX_SHARE = 0.9  # of the memory: the rest is for validation, figures and fragmentation


def batch_size_find(overrides: Sequence[str], num_steps: int, largest: int) -> int:
    """Print the images per second of each batch size that is tried, and the largest one that fits into memory.

    Nothing is kept: the network is trained for the measurement alone.

    Args:
        overrides: overrides of a config, as for `python train.py`.
        num_steps: optimizer steps of each size that are timed; one more is taken before.
        largest: the largest size to try; sizes above the number of training images are never tried.
    Returns:
        The size.
    Raises:
        UserError: a setting is wrong, or not even two images fit.
    """
    if num_steps < 1 or largest < FIRST_SIZE:
        raise UserError(f"the search needs at least one of --steps and --largest {FIRST_SIZE} or more.")
    cfg = load_config(overrides)
    if "module" in cfg.data:
        raise UserError(
            f"the batches are made by {cfg.data.module._target_}, whose size cannot be changed here.\n"
            "  Try sizes by its own argument, such as: convline train … data.module.batch_size=64"
        )
    steps = TrainingSteps(cfg)
    largest = min(largest, steps.num_images)
    print_notice(f"{'batch size':>10}  {'images/s':>10}  {'memory':>10}")

    def fits(size: int) -> bool:
        speed = steps.images_per_second(size, num_steps)
        memory = f"{steps.peak_memory() / 2**20:,.0f} MiB" if speed else "too much"
        print_notice(f"{size:>10,}  {f'{speed:,.0f}' if speed else '–':>10}  {memory:>10}")
        return speed is not None

    size = find_largest(fits, largest)
    if size == 0:
        raise UserError(
            f"not even {FIRST_SIZE} images fit into memory.\n  Type a smaller network, or data.image_size=N"
        )
    reason = "the largest that was to be tried" if size == largest else "the largest, to one in 32"
    print_notice(f"a batch of {size:,} fits: {reason}")
    print_notice(f"  Type: data.batch_size={size}; another size wants another learning rate: convline lr-find")
    return size


def find_largest(fits: Callable[[int], bool], largest: int) -> int:
    """Find the largest size that fits, by doubling and then bisecting, to one in 32.

    Args:
        fits: returns whether a size fits; what fits still fits when it is smaller.
        largest: the largest size to try.
    Returns:
        The largest size that was found to fit; 0 if the first does not.
    """
    fitting, too_large = 0, largest + 1
    size = min(FIRST_SIZE, largest)
    while fitting < largest and size < too_large:
        if not fits(size):
            too_large = size
            break
        fitting, size = size, min(2 * size, largest)
    while fitting and too_large - fitting > max(1, fitting // 32):
        middle = (fitting + too_large) // 2
        if fits(middle):
            fitting = middle
        else:
            too_large = middle
    return fitting


class TrainingSteps:
    """Take optimizer steps as a run does, with batches of any size.

    Args:
        cfg: the config of the run.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self._data, self._classifier = build(cfg)
        self.num_images = len(self._data.train_indices)
        self._seed = cfg.seed
        self.device = device_of(cfg)
        self._training_step = TrainingStep(self._classifier, self.device, cfg.trainer.precision)
        self._idle_memory = _resident_memory()
        self._last_size = FIRST_SIZE

    def images_per_second(self, size: int, num_steps: int) -> float | None:
        """Measure the speed of training with batches of a size; None if they do not fit into memory."""
        if self.device.type == "cpu" and self._memory_at_most(size) > MAX_SHARE * available_memory():
            return None
        try:
            speed = self._train(size, num_steps)
        except torch.OutOfMemoryError:
            speed = None
        self._training_step.optimizer.zero_grad()
        if speed is None:
            gc.collect()  # the traceback of the error holds the activations
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if speed is not None:
            self._last_size = size
        return speed

    def peak_memory(self) -> int:
        """Return the largest memory so far, in bytes: that of tensors on a GPU, or that of this process."""
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else _peak_memory()

    def _memory_at_most(self, size: int) -> float:
        """Bound the memory that a size adds to what this process has now, by the peak of all smaller ones.

        What a step needs is, at most, proportional to the size: part of it, such as the gradients, is not.
        """
        steps = _peak_memory() - self._idle_memory
        return self._idle_memory + steps * max(1.0, size / self._last_size) - _resident_memory()

    def _train(self, size: int, num_steps: int) -> float:
        loader = self._data.training_loader(self.device, LoaderConfig(size, self._seed))
        full = (batch for batch in endless_batches(loader) if len(batch[1]) == size)
        self._step(*next(full))  # memory is allocated, and kernels are chosen
        start = self._now()
        for _ in range(num_steps):
            self._step(*next(full))
        return num_steps * size / (self._now() - start)

    def _step(self, images: torch.Tensor, targets: torch.Tensor) -> None:
        self._training_step.gradient(images, targets)
        self._training_step.step(images, targets)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # getrusage(2): bytes on macOS, kibibytes on Linux


def _resident_memory() -> int:
    """Return the resident memory of this process, in bytes; where the system does not say it, the largest so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return _peak_memory()
    return pages * resource.getpagesize()
