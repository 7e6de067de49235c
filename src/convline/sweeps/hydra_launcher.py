"""Jobs by a launcher of Hydra's, such as submitit's for Slurm: each is a task, which finds its folder by name."""

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, flag_override

from convline.errors import Interrupted, UserError, first_line
from convline.records import directory as runs
from convline.records import lock
from convline.sweeps.run_job import perform, report_failure
from convline.sweeps.trials import Trials

LOOK = 2.0  # seconds between two looks for jobs that failed
TRIES = 2  # how often a job is given to the launcher: its node may have failed, or the job may kill its process


class Elsewhere:
    """Gives jobs to a launcher.

    Args:
        cfg: the config that the jobs have in common, with Hydra's node.
        context: Hydra's.
    Raises:
        UserError: a setting has no effect with a launcher.
    """

    def __init__(self, cfg: DictConfig, context: HydraContext) -> None:
        if cfg.fail_fast:
            raise UserError("fail_fast=true has no effect with a launcher of Hydra's; leave one of the two out.")
        self._cfg, self._context = cfg, context
        self._tries: Counter[Path] = Counter()

    def jobs(self, directories: Sequence[Path]) -> None:
        """Do the jobs in these directories; returns when the launcher is through with them, or has failed.

        Raises:
            UserError: it brings nothing about.
        """
        if self._cfg.workers != 1:
            raise UserError(
                f"workers={self._cfg.workers} has no effect with a launcher of Hydra's: each job is a task."
            )
        todo = [run_dir for run_dir in directories if not self._is_given_up(run_dir)]
        if todo:
            self._tries.update(todo)
            self._launch(todo[0].parent, [run_dir.name for run_dir in todo])

    def search(self, trials: Trials) -> None:
        """Do the trials of a search, by as many tasks as `workers` says."""
        self._launch(trials.folder, ["."] * self._cfg.workers)

    def _launch(self, folder: Path, names: Sequence[str]) -> None:
        with flag_override(self._cfg, ["readonly", "struct"], False):
            self._cfg.hydra.sweep.dir = str(folder.absolute())
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=task, config=self._cfg
        )
        words = [[f"hydra.sweep.dir='{folder.absolute()}'", f"hydra.sweep.subdir='{name}'"] for name in names]
        before = _states(folder)
        try:
            with _failures_reported(folder):
                launcher.launch(words, initial_job_idx=0)
        except Exception as error:  # of one task, perhaps; the others may be running still
            if before == _states(folder):
                target = self._cfg.hydra.launcher._target_
                raise UserError(f"the launcher {target} failed: {first_line(error)}") from error
            print(f"── the launcher says: {first_line(error)}", file=sys.stderr, flush=True)

    def _is_given_up(self, run_dir: Path) -> bool:
        """Whether a job was tried often enough; if its process died, it has failed.

        Raises:
            UserError: it was stopped, or never begun.
        """
        if self._tries[run_dir] < TRIES:
            return False
        state = runs.read_summary(run_dir)["status"]
        if state != "running":
            raise UserError(f"{run_dir} is {state} after {TRIES} tries; the same command goes on with it.")
        with lock.locked(run_dir):
            runs.update_summary(run_dir, status="failed", error=f"its process died {TRIES} times")
        report_failure(run_dir)
        return True


def _states(folder: Path) -> dict[Path, str]:
    return {path.parent: runs.status(path.parent) for path in folder.glob("*/summary.json")}


@contextmanager
def _failures_reported(folder: Path) -> Iterator[None]:
    """Say of each job that fails in the block that it has: a launcher waits for all of them."""
    ended = threading.Event()
    known = {run_dir for run_dir, state in _states(folder).items() if state == "failed"}

    def watch() -> None:
        while True:
            is_last = ended.wait(LOOK)
            for run_dir, state in _states(folder).items():
                if state == "failed" and run_dir not in known:
                    known.add(run_dir)
                    report_failure(run_dir)
            if is_last:
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def task(cfg: DictConfig) -> None:
    """What the launcher calls: the job in the directory that Hydra made of a task's two words, or a whole search."""
    from convline.callbacks.interrupt import stoppable
    from convline.data.source_cache import sharing
    from convline.sweeps.search import reopen

    directory = Path(HydraConfig.get().runtime.output_dir)
    is_search = (directory / "sweep.json").is_file()
    folder = directory if is_search else directory.parent
    sys.argv = json.loads((folder / "sweep.json").read_text())["command"]
    with _warned(), stoppable(""), sharing():
        if is_search:
            reopen(folder).do(fail_fast=False)
        else:
            perform(directory, "job")


@contextmanager
def _warned() -> Iterator[None]:
    """Slurm warns of the end of a task's time by SIGUSR2: the job is saved first, then submitit may queue it again."""
    received: list[int] = []
    requeue = signal.getsignal(signal.SIGUSR2)

    def stop(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGUSR2, stop)
    try:
        yield
    except Interrupted:
        if received and callable(requeue):
            requeue(signal.SIGUSR2, None)
        raise
    finally:
        signal.signal(signal.SIGUSR2, requeue)
