"""Run a grid: skip finished jobs, run or resume the others, and write one report at the end."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hydra.types import HydraContext
from omegaconf import DictConfig

from convline.config import validate
from convline.errors import UserError
from convline.records.directory import read_status, update_summary
from convline.records.lock import HeldError, locked
from convline.sweeps.directory import jobs_of_another_version, new_folder_path, open_folder
from convline.sweeps.executors import choose_executor, run_until_done
from convline.sweeps.finish import closing_report
from convline.sweeps.jobs import Job, compose, plan

UNFINISHED = {"failed": "failed", "interrupted": "interrupted", "waiting": "not begun"}


def sweep(overrides: Sequence[str], cfg: DictConfig, context: HydraContext) -> None:
    """Run one job for every combination of the values in `-m OVERRIDES`.

    Args:
        overrides: overrides of the command line.
        cfg: the config that the jobs share, with Hydra's node.
        context: Hydra's context, which its launchers need.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the table of the jobs so far has been printed.
        UserError: a combination is no valid config, or a job failed.
    """
    validate.check_of_sweeps(cfg)
    if search_overrides := [override for override in overrides if override.startswith(("sweep.", "sweep/"))]:
        raise UserError(
            f"{search_overrides[0]} has an effect in a search only: add hydra/sweeper=search, or leave it out."
        )
    combinations = compose(overrides)
    from convline.data.source_cache import (
        cache_sources,  # imports torch, which takes seconds: only when every config is valid
    )

    with cache_sources():
        jobs = plan(combinations)
        if num_duplicates := len(combinations) - len(jobs):
            print(f"{len(combinations)} combinations; {num_duplicates} left out that would compute the same as another")
        _sweep(jobs, cfg, context)


def _sweep(jobs: list[Job], cfg: DictConfig, context: HydraContext) -> None:
    with closing_report() as report_folder:
        directories = _open(jobs, cfg)
        report_folder(directories[0].parent)
        failed_before = {path for path in directories if read_status(path) == "failed"}
        todo = [path for path in directories if path not in failed_before]
        run_until_done(todo, choose_executor(cfg, context), cfg.fail_fast)
    states = Counter(map(read_status, directories))
    unfinished = [f"{states[state]} {label}" for state, label in UNFINISHED.items() if states[state]]
    if unfinished:
        raise UserError(f"{', '.join(unfinished)} of {len(jobs)} jobs; see above")


def _open(jobs: list[Job], cfg: DictConfig) -> list[Path]:
    """Find or create the jobs' run directories, and print how many jobs are in each state."""
    path, explicit = new_folder_path(cfg)
    if cfg.rerun == "failed":
        num_jobs, other_folder = jobs_of_another_version(path.parent, jobs)
        if num_jobs:
            print(
                f"{num_jobs} jobs were done by another version of the code ({other_folder}); "
                "rerun=none takes them as they are"
            )
    folder, directories = open_folder(jobs, path.parent, path.name, explicit, cfg.rerun, cfg.name)
    if cfg.rerun == "failed":
        for directory in directories:
            _retry_failed(directory)
    states = Counter(map(read_status, directories))
    labels = {
        "finished": "finished already",
        "failed": "failed before",
        "interrupted": "to go on from the last checkpoint",
        "running": "running in another process",
        "waiting": "to do",
    }
    parts = [f"{states[state]} {label}" for state, label in labels.items() if states[state]]
    print(f"{len(jobs)} job{'s' * (len(jobs) > 1)}: {', '.join(parts)}")
    print(f"writing to {folder.path}")
    return directories


def _retry_failed(run_dir: Path) -> None:
    """Set a failed job back to "waiting"."""
    try:
        with locked(run_dir):
            if read_status(run_dir) == "failed":
                update_summary(run_dir, status="waiting")
    except HeldError:  # another process is running it again already
        pass
