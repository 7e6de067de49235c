"""Who does a sweep's jobs, and until when: this process, several of them, or a launcher of Hydra's."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.types import HydraContext
from omegaconf import DictConfig

from convline import runs

Launch = Callable[[Sequence[Path]], None]  # does the jobs in these directories; returns when they have ended


def do(directories: Sequence[Path], launch: Launch, fail_fast: bool) -> None:
    """Until every job has ended: what other processes have is waited for, and taken over if they die.

    Args:
        directories: of the jobs; none has failed.
        launch: does jobs.
        fail_fast: stop at the first that fails.
    """
    while True:
        before = {path: runs.status(path) for path in directories}
        if fail_fast and "failed" in before.values():
            return
        todo = [path for path, state in before.items() if state in ("waiting", "interrupted")]
        if todo:
            launch(todo)
        elif "running" not in before.values():
            return
        if before == {path: runs.status(path) for path in directories}:
            time.sleep(0.5)


def launcher(cfg: DictConfig, context: HydraContext) -> Launch:
    """In this process, in as many as `workers` says, or by the launcher of Hydra's that the config names."""
    if not cfg.hydra.launcher._target_.endswith(".BasicLauncher"):
        from convline.sweeps.elsewhere import Elsewhere

        return Elsewhere(cfg, context)
    if cfg.workers > 1:
        from convline.sweeps.workers import Workers

        return Workers(cfg)
    return lambda directories: in_this_process(directories, cfg.fail_fast)


def in_this_process(directories: Sequence[Path], fail_fast: bool) -> None:
    """One after the other; imports and data are shared."""
    from convline.sweeps.perform import perform

    for number, run_dir in enumerate(directories, 1):
        if perform(run_dir, f"job {number} of {len(directories)}") == "failed" and fail_fast:
            return
