"""Run jobs through a Hydra launcher, such as submitit's for Slurm.

Each job is one task of the launcher. It receives the name of its run directory as an override.
"""

import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, flag_override

from convline.config.options import import_folders, make_importable
from convline.errors import SCHEDULER_SIGNALS, Interrupted, UserError
from convline.formatting import first_line
from convline.records import lock
from convline.records.directory import ENDED, read_status, read_summary, update_summary
from convline.records.files import read_record
from convline.run.child_process import import_path
from convline.signals import stoppable
from convline.sweeps.run_job import report_failure, run_job
from convline.sweeps.slurm_jobs import going_on_after_interruption
from convline.sweeps.trials import Trials, reopen_trials

POLL_SECONDS = 2.0  # between two searches for jobs that failed
MAX_READS = 200  # run directories that one search reads, in turn: it costs the same in a large sweep
MAX_TRIES = 2  # launches of one job: its node may have failed, or the job may kill its process


class HydraLauncherExecutor:
    """Run jobs through the Hydra launcher that the config names.

    Args:
        cfg: the config that the jobs share, with Hydra's node.
        context: Hydra's context, which a launcher needs.
    Raises:
        UserError: a setting has no effect with a launcher.
    """

    def __init__(self, cfg: DictConfig, context: HydraContext) -> None:
        if cfg.fail_fast:
            raise UserError("fail_fast=true has no effect with a launcher of Hydra's; leave one of the two out.")
        self._cfg, self._context = cfg, context
        self._tries: Counter[Path] = Counter()

    def run_jobs(self, directories: Sequence[Path]) -> None:
        """Run the jobs in these run directories; return when the launcher has returned or failed.

        Raises:
            UserError: the launcher failed and no job has changed its status.
        """
        if self._cfg.workers != 1:
            raise UserError(
                f"workers={self._cfg.workers} has no effect with a launcher of Hydra's: each job is a task."
            )
        todo = [run_dir for run_dir in directories if not self._is_given_up(run_dir)]
        if todo:
            self._tries.update(todo)
            self._launch(todo[0].parent, [run_dir.name for run_dir in todo])

    def run_trials(self, trials: Trials) -> None:
        """Run the trials of a search in `workers` tasks."""
        self._launch(trials.folder, ["."] * self._cfg.workers)

    def _launch(self, folder: Path, names: Sequence[str]) -> None:
        with flag_override(self._cfg, ["readonly", "struct"], False):
            self._cfg.hydra.sweep.dir = str(folder.absolute())
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=task, config=self._cfg
        )
        overrides = [[f"hydra.sweep.dir='{folder.absolute()}'", f"hydra.sweep.subdir='{name}'"] for name in names]
        states_before = _states(folder)
        try:
            with going_on_after_interruption(self._cfg), _print_failures(folder), _environment_of_tasks():
                launcher.launch(overrides, initial_job_idx=0)
        except Exception as error:  # perhaps of a single task, while others still run
            if states_before == _states(folder):
                target = self._cfg.hydra.launcher._target_
                raise UserError(f"the launcher {target} failed: {first_line(error)}") from error
            print(f"── the launcher says: {first_line(error)}", file=sys.stderr, flush=True)

    def _is_given_up(self, run_dir: Path) -> bool:
        """Return whether a job has used all its tries; if its process died each time, record it as failed.

        Raises:
            UserError: the job was stopped each time, or never began.
        """
        if self._tries[run_dir] < MAX_TRIES:
            return False
        state = read_summary(run_dir)["status"]
        if state != "running":
            raise UserError(f"{run_dir} is {state} after {MAX_TRIES} tries; the same command goes on with it.")
        with lock.locked(run_dir):
            update_summary(run_dir, status="failed", error=f"its process died {MAX_TRIES} times")
        report_failure(run_dir)
        return True


def _states(folder: Path) -> dict[Path, str]:
    return {path.parent: read_status(path.parent) for path in folder.glob("*/summary.json")}


@contextmanager
def _environment_of_tasks() -> Iterator[None]:
    """Set the variables that the processes of a launcher inherit: the import path, without the current folder in front.

    Launchers start `python -m`, which puts the folder first, where a file random.py would be run in the place of
    Python's module.
    """
    before = dict(os.environ)
    os.environ.update(PYTHONSAFEPATH="1", PYTHONPATH=import_path())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _print_failures(folder: Path) -> Iterator[None]:
    """Print each job that fails while the block runs, by a thread: a launcher returns only after the last job."""
    ended = threading.Event()
    states = _states(folder)
    known, unsettled = set(states), deque(run_dir for run_dir, state in states.items() if state not in ENDED)

    def watch() -> None:
        is_last = False
        while not is_last:
            is_last = ended.wait(POLL_SECONDS)
            created = {path.parent for path in folder.glob("*/summary.json")} - known  # by a search, meanwhile
            unsettled.extend(created)
            known.update(created)
            for _ in range(len(unsettled) if is_last else min(len(unsettled), MAX_READS)):
                run_dir = unsettled.popleft()
                state = read_status(run_dir)
                if state == "failed":
                    report_failure(run_dir)
                if state not in ENDED:  # the others are read no more
                    unsettled.append(run_dir)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def task(cfg: DictConfig) -> None:
    """Run one task of the launcher: the job in the directory that Hydra names, or the trials of a whole search.

    Results go to the run directories; nothing is returned.
    """
    from convline.data.source_cache import cache_sources  # imports torch, which takes seconds

    make_importable(import_folders())
    directory = Path(HydraConfig.get().runtime.output_dir)
    is_search = (directory / "sweep.json").is_file()
    folder = directory if is_search else directory.parent
    command = read_record(folder / "sweep.json")["command"]
    sys.argv = command if command[0] == "convline" else command[1:]  # without the interpreter
    with _save_before_timeout(), stoppable(""), cache_sources():
        if is_search:
            reopen_trials(folder).run(fail_fast=False)
        else:
            run_job(directory, "job")


@contextmanager
def _save_before_timeout() -> Iterator[None]:
    """Save the job when Slurm announces the end of its time, then let submitit queue it again.

    submitit's own handler queues the task at once and ends the process, and the work since the last checkpoint would
    be lost. So its handler is replaced, and called only after the job has saved its state.
    """
    handlers = {signum: signal.getsignal(signum) for signum in SCHEDULER_SIGNALS}  # `stoppable` replaces them
    try:
        yield
    except Interrupted as stop:
        submitit_handler = handlers.get(stop.signum)
        if callable(submitit_handler):
            submitit_handler(stop.signum, None)
        raise
