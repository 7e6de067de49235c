"""Who does a sweep's jobs, and until when: this process, several of them, or a launcher of Hydra's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hydra.types import HydraContext
from omegaconf import DictConfig

from convline.records import directory as runs

if TYPE_CHECKING:
    from convline.sweeps.trials import Trials


class Launcher(Protocol):
    """Does jobs."""

    def jobs(self, directories: Sequence[Path]) -> object:
        """Do those in these directories of one folder, as far as no other process does."""
        ...

    def search(self, trials: Trials) -> object:
        """Do the trials of a search; returns when there are as many as wanted."""
        ...


def launcher(cfg: DictConfig, context: HydraContext) -> Launcher:
    """This process, as many as `workers` says, or the launcher of Hydra's that the config names."""
    if not cfg.hydra.launcher._target_.endswith(".BasicLauncher"):
        from convline.sweeps.hydra_launcher import Elsewhere

        return Elsewhere(cfg, context)
    if cfg.workers > 1:
        from convline.sweeps.process_pool import Workers

        return Workers(cfg)
    return Here(cfg.fail_fast)


def until_done(directories: Sequence[Path], chosen: Launcher, fail_fast: bool) -> None:
    """Do jobs until each has ended: what other processes have is waited for, and taken over if they die.

    Args:
        directories: of the jobs; none has failed.
        chosen: does them.
        fail_fast: stop at the first that fails.
    """
    while True:
        before = {path: runs.status(path) for path in directories}
        if fail_fast and "failed" in before.values():
            return
        todo = [path for path, state in before.items() if state in ("waiting", "interrupted")]
        if todo:
            chosen.jobs(todo)
        elif "running" not in before.values():
            return
        if before == {path: runs.status(path) for path in directories}:
            time.sleep(0.5)


class Here:
    """One job after the other in this process: imports and data are shared.

    Args:
        fail_fast: stop at the first that fails.
    """

    def __init__(self, fail_fast: bool) -> None:
        self._fail_fast = fail_fast

    def jobs(self, directories: Sequence[Path], quiet: bool = False) -> bool:
        """Do them; returns whether it has stopped at one that failed."""
        from convline.sweeps.run_job import perform

        for number, run_dir in enumerate(directories, 1):
            ended = perform(run_dir, f"job {number} of {len(directories)}", quiet)
            if ended == "failed" and self._fail_fast:
                return True
        return False

    def search(self, trials: Trials, quiet: bool = False) -> bool:
        """Do them; returns whether it has stopped at one that failed."""
        return trials.do(self._fail_fast, quiet)
