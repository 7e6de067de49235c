"""A grid: jobs that are done are skipped, others done or gone on with, and at the end there is one table."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hydra.types import HydraContext
from omegaconf import DictConfig

from convline.config import validate as ranges
from convline.errors import UserError
from convline.records import directory as runs
from convline.records.lock import HeldError, locked
from convline.sweeps.directory import by_another_version, open_folder, wanted_folder
from convline.sweeps.executors import launcher, until_done
from convline.sweeps.finish import closing
from convline.sweeps.jobs import Job, compose, plan

UNDONE = {"failed": "failed", "interrupted": "interrupted", "waiting": "not begun"}


def sweep(words: Sequence[str], cfg: DictConfig, context: HydraContext) -> None:
    """Do the jobs that `-m WORDS` stands for.

    Args:
        words: as typed.
        cfg: the config that the jobs have in common, with Hydra's node.
        context: Hydra's, for its launchers.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the table of what is there has been printed.
        UserError: a combination is no config, or a job failed.
    """
    ranges.check_of_sweeps(cfg)
    if of_search := [word for word in words if word.startswith(("sweep.", "sweep/"))]:
        raise UserError(f"{of_search[0]} has an effect in a search only: add hydra/sweeper=search, or leave it out.")
    combinations = compose(words)
    from convline.data.source_cache import sharing  # torch, which takes seconds: only when every config is right

    with sharing():
        jobs = plan(combinations)
        if same := len(combinations) - len(jobs):
            print(f"{len(combinations)} combinations; {same} left out that would compute the same as another")
        _sweep(jobs, cfg, context)


def _sweep(jobs: list[Job], cfg: DictConfig, context: HydraContext) -> None:
    with closing() as show:
        directories = _open(jobs, cfg)
        show(directories[0].parent)
        failed_before = {path for path in directories if runs.status(path) == "failed"}
        todo = [path for path in directories if path not in failed_before]
        until_done(todo, launcher(cfg, context), cfg.fail_fast)
    states = Counter(map(runs.status, directories))
    undone = [f"{states[state]} {said}" for state, said in UNDONE.items() if states[state]]
    if undone:
        raise UserError(f"{', '.join(undone)} of {len(jobs)} jobs; see above")


def _open(jobs: list[Job], cfg: DictConfig) -> list[Path]:
    """The jobs' directories, after saying what there is to do."""
    path, explicit = wanted_folder(cfg)
    if cfg.rerun == "failed":
        count, other = by_another_version(path.parent, jobs)
        if count:
            print(f"{count} jobs were done by another version of the code ({other}); rerun=none takes them as they are")
    folder, directories = open_folder(jobs, path.parent, path.name, explicit, cfg.rerun)
    if cfg.rerun == "failed":
        for directory in directories:
            _let_wait_again(directory)
    states = Counter(map(runs.status, directories))
    told = {
        "finished": "finished already",
        "failed": "failed before",
        "interrupted": "to go on from the last checkpoint",
        "running": "running in another process",
        "waiting": "to do",
    }
    parts = [f"{states[state]} {what}" for state, what in told.items() if states[state]]
    print(f"{len(jobs)} job{'s' * (len(jobs) > 1)}: {', '.join(parts)}")
    print(f"writing to {folder.path}")
    return directories


def _let_wait_again(run_dir: Path) -> None:
    try:
        with locked(run_dir):
            if runs.status(run_dir) == "failed":
                runs.update_summary(run_dir, status="waiting")
    except HeldError:  # another process does it again already
        pass
