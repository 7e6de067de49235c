"""Callbacks and sources that go wrong in one job of a sweep, or leave in the process what they should not."""

import builtins
import json
import logging
import os
import random
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import OmegaConf

from convline.callbacks.after_test import AfterTest
from convline.data.sources import synthetic
from convline.run import console


def config_of(trainer: Trainer) -> Any:
    return OmegaConf.load(Path(trainer.default_root_dir) / "config.yaml")


class RaiseIn(Callback):
    """Raises an error when a job with this seed begins to train."""

    def __init__(self, seed: int, error: str, text: str) -> None:
        self.seed, self.text = seed, text
        self.error = torch.OutOfMemoryError if error.startswith("torch") else getattr(builtins, error)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if config_of(trainer).seed == self.seed:
            raise self.error(self.text)


class RaiseAfterTest(AfterTest):
    """Raises an error when the test is over."""

    def __init__(self, num_images: int) -> None:
        pass

    def after_test(self, run: Any, writer: Any, step: int) -> None:
        raise OSError("no space left")


class SignalAfterTest(AfterTest):
    """Sends the signal when the test is over."""

    def __init__(self, signum: int) -> None:
        self.signum = signum

    def after_test(self, run: Any, writer: Any, step: int) -> None:
        os.kill(os.getpid(), self.signum)


class StopOnce(Callback):
    """Sends the signal before an optimizer step of the job with this seed, the first time that it comes there."""

    def __init__(self, seed: int, step: int, signum: int) -> None:
        self.seed, self.step, self.signum = seed, step, signum

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        mark = Path(trainer.default_root_dir) / "stopped"
        if trainer.global_step == self.step and config_of(trainer).seed == self.seed and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), self.signum)


class Sleep(Callback):
    """A job with this seed sleeps when it begins to train, unless a file of that name is there."""

    def __init__(self, seed: int, seconds: float, unless: str) -> None:
        self.seed, self.seconds, self.unless = seed, seconds, unless

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if config_of(trainer).seed == self.seed and not Path(self.unless).exists():
            (Path(trainer.default_root_dir) / "asleep").touch()
            time.sleep(self.seconds)


class SlowSteps(Callback):
    """Sleeps before each optimizer step."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        time.sleep(self.seconds)


class CountEpochs(Callback):
    """Adds a line to the run's `epochs.txt` whenever an epoch begins."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with open(Path(trainer.default_root_dir) / "epochs.txt", "a") as file:
            file.write(f"{trainer.current_epoch}\n")


class Leak(Callback):
    """Writes the process's settings to `state.json`, and changes them all at the very end of the run.

    Args:
        unless: name of the optimizer whose run changes nothing.
    """

    def __init__(self, unless: str) -> None:
        self.unless = unless

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        (Path(trainer.default_root_dir) / "state.json").write_text(json.dumps(state()))
        if self.unless not in str(config_of(trainer).optimizer["_target_"]).lower():
            panel = console.print_outcome

            def last(*arguments: Any) -> None:
                console.print_outcome = panel
                panel(*arguments)
                leave_traces()

            console.print_outcome = last


def state() -> dict[str, Any]:
    """What a job could find that another has left."""
    return {
        "dtype": str(torch.get_default_dtype()),
        "device": str(torch.get_default_device()),
        "threads": torch.get_num_threads(),
        "matmul": torch.get_float32_matmul_precision(),
        "grad": torch.is_grad_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "cudnn": torch.backends.cudnn.deterministic,
        "filters": sum("left behind" in str(entry[1]) for entry in warnings.filters),
        "root level": logging.getLogger().level,
        "root handlers": len(logging.getLogger().handlers),
        "logger": logging.getLogger("lightning.pytorch").disabled,
        "environment": os.environ.get("LEFT_BEHIND"),
        "seed": os.environ.get("PL_GLOBAL_SEED"),
        "folder": Path.cwd() == Path("/"),
    }


def leave_traces() -> None:
    """Change all of it."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(3)
    torch.set_float32_matmul_precision("medium")
    torch.set_grad_enabled(False)
    torch.set_anomaly_enabled(True)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = True
    warnings.filterwarnings("error", message="left behind")
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("lightning.pytorch").disabled = True
    os.environ["LEFT_BEHIND"] = "1"
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)


def counted_synthetic(part: Any, **settings: Any) -> Any:
    """Synthetic data; each reading leaves a word in the file `reads`."""
    with open("reads", "a") as file:
        file.write(f"{part}\n")
    return synthetic(part, **settings)


class WriteRank(Callback):
    """Each rank writes who it is and what it trains with."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        rate = trainer.optimizers[0].defaults["lr"]
        path = Path(trainer.default_root_dir)
        text = f"rank {trainer.global_rank} of {trainer.world_size}, {rate}, {path.name}"
        (path / f"rank-{trainer.global_rank}.txt").write_text(text)


class SleepInTrial(Callback):
    """The trial with this number sleeps when it begins to train, unless a file of that name is there."""

    def __init__(self, number: int, seconds: float, unless: str) -> None:
        self.number, self.seconds, self.unless = number, seconds, unless

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        path = Path(trainer.default_root_dir)
        if path.name.startswith(f"{self.number:03d},") and not Path(self.unless).exists():
            (path / "asleep").touch()
            time.sleep(self.seconds)
