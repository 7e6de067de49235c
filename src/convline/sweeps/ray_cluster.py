"""Run jobs on a Ray cluster: as many at a time as its nodes have cores or GPUs. The nodes share the folder of the runs.

Not Hydra's Ray launcher: it requires the client library of Amazon's cloud, which excludes python-dateutil 4.
"""

import os
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig

from convline.config.options import VARIABLE, import_folders, make_importable
from convline.errors import Interrupted, UserError
from convline.formatting import first_line
from convline.records import lock
from convline.records.directory import ENDED, read_status, update_summary
from convline.run.child_process import import_path
from convline.signals import stoppable
from convline.sweeps.run_job import report_failure, run_job
from convline.sweeps.trials import Trials, reopen_trials

POLL_SECONDS = 0.5  # between two checks of the tasks
MAX_DEATHS = 3  # of the processes of one job: nodes may fail, or the job may kill its process
CONNECT_SECONDS = 10.0  # in which the cluster has to answer
NODE_SECONDS = 5.0  # after the death of a node, in which Ray notices it and gives it no more tasks
SAVE_SECONDS = 60.0  # in which interrupted jobs have to save their state


class RayCluster:
    """Run each job of a grid as a task of Ray, and a search as `workers` tasks.

    When the process or the node of a task dies, the task is started again, and its job goes on from its last
    checkpoint.

    Args:
        cfg: the config that the jobs share, with the settings of this launcher in Hydra's node.
    Raises:
        UserError: Ray is not installed.
    """

    def __init__(self, cfg: DictConfig) -> None:
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # Ray would leave out lines that differ in their numbers alone
        try:
            import ray
        except ImportError as error:
            raise UserError("hydra/launcher=ray needs Ray.\n  Type: pip install 'convline[ray]'") from error
        self._ray: Any = ray
        self._cfg, self._settings = cfg, cfg.hydra.launcher
        self._dead_holders: defaultdict[Path, set[str]] = defaultdict(set)

    def run_jobs(self, directories: Sequence[Path]) -> None:
        """Run the jobs in these run directories; return when they have ended.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came, and the jobs have saved their state.
            UserError: the cluster cannot be reached, or its processes die before they have a job.
        """
        if self._cfg.workers != 1:
            raise UserError(
                f"workers={self._cfg.workers} has no effect with Ray: its cluster runs as many jobs as it can.\n"
                "  Leave it out; hydra.launcher.num_cpus=2 gives each job two cores."
            )
        self._run(_run_job, [run_dir.absolute() for run_dir in directories])

    def run_trials(self, trials: Trials) -> None:
        """Run trials in `workers` tasks until there are as many as requested; raises the errors of `run_jobs`."""
        self._run(_run_trials, [trials.folder.absolute()] * self._cfg.workers)

    def _run(self, function: Callable[..., str | None], paths: Sequence[Path]) -> None:
        """Run `function` on each path in a task of Ray; start a task again if its process dies."""
        with self._connected():
            # Ray itself starts no task again: that depends on what became of the task's job
            remote = self._ray.remote(function).options(
                num_cpus=self._settings.num_cpus, num_gpus=self._settings.num_gpus, max_retries=0
            )
            context = {
                "command": sys.argv,
                "folder": os.getcwd(),
                "own_options": os.environ.get(VARIABLE, ""),
                "fail_fast": self._cfg.fail_fast,
            }
            tasks = {remote.remote(str(path), context): index for index, path in enumerate(paths)}
            stopped: dict[int, float] = {}  # tasks that ended before their work did: when they may start again
            deaths = Counter[int]()
            try:
                while tasks or stopped:
                    for index, outcome in self._ended(tasks):
                        if outcome == "failed" and self._cfg.fail_fast:
                            return self._interrupt(tasks)
                        if outcome in ("interrupted", "died", "node died"):
                            stopped[index] = time.monotonic() + NODE_SECONDS * (outcome == "node died")
                            deaths[index] += outcome == "died"
                    for index in list(stopped):
                        is_search = function is _run_trials
                        state = "interrupted" if is_search else read_status(paths[index])
                        if state == "running" or time.monotonic() < stopped[index]:
                            continue  # its heartbeat, from another machine, is not stale yet, or it is too early
                        del stopped[index]
                        is_lost = self._record_deaths(paths[index].glob("*") if is_search else [paths[index]])
                        if not is_lost and deaths[index] == MAX_DEATHS:
                            raise UserError(f"processes of Ray died {MAX_DEATHS} times before they had a job.")
                        if is_search or read_status(paths[index]) not in ENDED:
                            tasks[remote.remote(str(paths[index]), context)] = index
            except (Interrupted, KeyboardInterrupt):
                self._interrupt(tasks)
                raise

    @contextmanager
    def _connected(self) -> Iterator[None]:
        options = {
            "logging_level": "ERROR",
            "runtime_env": {"env_vars": {"PYTHONPATH": import_path()}},
        }
        if address := self._settings.address:
            _check_address(address)
        with TemporaryDirectory(prefix="convline_ray_") as empty:
            try:
                with _seen_from(empty):
                    self._ray.init(address=address or "auto", **options)
            except ConnectionError:
                if address:
                    raise
                with _seen_from(empty):
                    self._ray.init(include_dashboard=False, **options)
            try:
                yield
            finally:
                self._ray.shutdown()

    def _ended(self, tasks: dict[Any, int]) -> Iterator[tuple[int, str | None]]:
        """Wait a moment; remove the tasks that have ended, and yield the index and the outcome of each.

        Raises:
            UserError: a task failed before its job could begin.
        """
        if not tasks:
            time.sleep(POLL_SECONDS)
            return
        node_errors = (self._ray.exceptions.LocalRayletDiedError, self._ray.exceptions.NodeDiedError)
        ended, _ = self._ray.wait(list(tasks), num_returns=len(tasks), timeout=POLL_SECONDS)
        for task in ended:
            index = tasks.pop(task)
            try:
                yield index, self._ray.get(task)
            except self._ray.exceptions.RayTaskError as error:
                raise UserError(f"a task of Ray failed: {first_line(error.cause)}") from error
            except self._ray.exceptions.RayError as error:
                print(f"── a process of Ray died: {first_line(error)}", file=sys.stderr, flush=True)
                yield index, "node died" if isinstance(error, node_errors) else "died"

    def _record_deaths(self, run_dirs: Iterable[Path]) -> bool:
        """Count the dead processes of jobs, and record a job as failed when it has lost too many.

        Returns:
            Whether a dead process had one of these jobs.
        """
        has_lost = False
        for run_dir in run_dirs:
            with suppress(OSError, lock.HeldError):  # without a heartbeat, its process ended in good order
                holder = (run_dir / lock.HEARTBEAT).read_text()
                if lock.is_held(run_dir):
                    continue
                has_lost = True
                self._dead_holders[run_dir].add(holder)  # the next process of the job replaces the heartbeat
                if len(self._dead_holders[run_dir]) == MAX_DEATHS and read_status(run_dir) not in ENDED:
                    with lock.locked(run_dir):
                        update_summary(run_dir, status="failed", error=f"its process died {MAX_DEATHS} times")
                    report_failure(run_dir)
        return has_lost

    def _interrupt(self, tasks: Mapping[Any, int]) -> None:
        """Stop all tasks as Ctrl-C would, and wait until their jobs have saved their state."""
        for task in tasks:
            self._ray.cancel(task, force=False)
        if tasks:
            self._ray.wait(list(tasks), num_returns=len(tasks), timeout=SAVE_SECONDS)


def _check_address(address: str) -> None:
    """Check that a server answers at the address, for whose cluster Ray would wait for minutes.

    Raises:
        UserError: none answers within some seconds.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"hydra.launcher.address={address}: no Ray cluster answers there ({first_line(error)}).\n"
            "  Start one with: ray start --head; its address is HOST:6379"
        ) from error


@contextmanager
def _seen_from(folder: str) -> Iterator[None]:
    """Let Ray take another folder for the current one and for that of the script.

    Ray 2 puts both in front of the import path of every worker, where a file random.py in them would be run in the
    place of Python's module; `_as_in_command` adds the user's folders at the end.
    """
    before, arguments = os.getcwd(), sys.argv
    os.chdir(folder)
    sys.argv = [str(Path(folder) / Path(arguments[0]).name), *arguments[1:]]
    try:
        yield
    finally:
        sys.argv = arguments
        os.chdir(before)


def _run_job(path: str, context: Mapping[str, Any]) -> str | None:
    """Run the job in a run directory, in a process of Ray; return its outcome."""
    with _as_in_command(context):
        return run_job(Path(path), "job", quiet=True)
    return "interrupted"  # the context ended the job's exception


def _run_trials(path: str, context: Mapping[str, Any]) -> str | None:
    """Run trials of the search in a folder, in a process of Ray; return "failed" if one failed with fail_fast=true."""
    with _as_in_command(context):
        return "failed" if reopen_trials(Path(path)).run(context["fail_fast"], quiet=True) else None
    return "interrupted"


@contextmanager
def _as_in_command(context: Mapping[str, Any]) -> Iterator[None]:
    """Take over arguments, current folder and folders of options from the sweep's command; end the block on Ctrl-C."""
    from convline.data.source_cache import cache_sources  # imports torch, which takes seconds

    sys.argv = context["command"]
    with suppress(OSError):  # another machine may not have the folder
        os.chdir(context["folder"])
    os.environ[VARIABLE] = context["own_options"]
    make_importable(import_folders())
    with suppress(Interrupted, KeyboardInterrupt), stoppable(""), cache_sources():
        yield
