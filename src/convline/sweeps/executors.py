"""Choose what runs a sweep's jobs (this process, a pool, Ray, a Hydra launcher), and wait until all have ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hydra.types import HydraContext
from omegaconf import DictConfig

from convline.records.directory import read_status
from convline.sweeps.hydra_launcher import HydraLauncherExecutor
from convline.sweeps.process_pool import ProcessPool
from convline.sweeps.ray_cluster import RayCluster
from convline.sweeps.run_job import run_jobs
from convline.sweeps.trials import Trials

POLL_SECONDS = 0.5  # between two reads of the jobs that other processes run
MAX_READS = 200  # jobs of other processes that are read at a time, in turn: a round costs the same in a large sweep


class Executor(Protocol):
    """Run the jobs of a grid, or the trials of a search."""

    def run_jobs(self, directories: Sequence[Path]) -> object:
        """Run the jobs in these run directories, which share one parent folder; skip those of other processes."""
        ...

    def run_trials(self, trials: Trials) -> object:
        """Run trials of a search until there are as many as requested."""
        ...


class LocalExecutor:
    """Run one job after the other in this process.

    Args:
        fail_fast: stop at the first job that fails.
    """

    def __init__(self, fail_fast: bool) -> None:
        self._fail_fast = fail_fast

    def run_jobs(self, directories: Sequence[Path]) -> None:
        """Run the jobs in these run directories."""
        run_jobs(directories, self._fail_fast)

    def run_trials(self, trials: Trials) -> None:
        """Run trials until there are as many as requested."""
        trials.run(self._fail_fast)


def choose_executor(cfg: DictConfig, context: HydraContext) -> Executor:
    """Return the launcher that the config names, else a pool of `workers` processes, else this process."""
    if cfg.hydra.launcher._target_.endswith(".RayCluster"):
        return RayCluster(cfg)
    if not cfg.hydra.launcher._target_.endswith(".BasicLauncher"):
        return HydraLauncherExecutor(cfg, context)
    return ProcessPool(cfg) if cfg.workers > 1 else LocalExecutor(cfg.fail_fast)


def run_until_done(directories: Sequence[Path], executor: Executor, fail_fast: bool) -> None:
    """Run jobs until each has ended. Wait for jobs of other processes, and take over a job whose process died.

    A round of waiting reads only jobs that may still change, and `MAX_READS` of them at most.

    Args:
        directories: run directories of the jobs; none has failed.
        executor: runs the jobs.
        fail_fast: stop when a job has failed.
    """
    states = {path: read_status(path) for path in directories}
    while True:
        if fail_fast and "failed" in states.values():
            return
        # "failed" jobs stay in: another command may run one again, and then this loop waits for it
        states = {path: state for path, state in states.items() if state not in ("finished", "pruned")}
        todo = [path for path, state in states.items() if state in ("waiting", "interrupted")]
        if not todo and "running" not in states.values():
            return
        states_before = dict(states)
        if todo:
            executor.run_jobs(todo)
            states = {path: read_status(path) for path in states}
        if states == states_before:
            time.sleep(POLL_SECONDS)
            for path in list(states)[:MAX_READS]:
                del states[path]  # those that were read go to the end of the order
                states[path] = read_status(path)
