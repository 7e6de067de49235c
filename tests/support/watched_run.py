"""A run with everything that there is to see, for the modules that look at it."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.commands import SMALL, run_dirs, train

if TYPE_CHECKING:  # the whole suite loads this module
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# Dropout and batch norm are in it, so that random and running state matter; plain SGD, so that steps can be checked.
WORDS = [
    *(word for word in SMALL if not word.startswith("callbacks")),
    "trainer.log_every_n_steps=5",
    "steps_per_execution=3",
    "scheduler=constant",
    "optimizer.momentum=0",
    "optimizer.nesterov=false",
    "optimizer.weight_decay=0",
    "optimizer.lr=0.1",
]
STEPS_PER_EPOCH = 34


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that there is to see."""
    folder = tmp_path_factory.mktemp("watched")
    done = train(folder, *WORDS, "callbacks=everything")
    assert done.status == 0, done.err
    (run_dir,) = run_dirs(folder)
    assert not (run_dir / "log.txt").exists()  # nothing failed
    return run_dir


@pytest.fixture(scope="session")
def events(watched: Path) -> "EventAccumulator":
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = dict.fromkeys(("scalars", "images", "histograms", "tensors"), 0)
    return EventAccumulator(str(watched), size_guidance=everything).Reload()
