"""Train the configurations of a comparison again with seeds that chose nothing: a sweep of its own."""

import time
from collections.abc import Sequence
from pathlib import Path

from convline.errors import UserError
from convline.formatting import plural
from convline.records.directory import read_status, read_summary, read_trusted_config, update_summary
from convline.reporting.comparison import Group
from convline.sweeps.directory import open_folder
from convline.sweeps.executors import LocalExecutor, run_until_done
from convline.sweeps.finish import closing_report
from convline.sweeps.jobs import Job, build_job


def train_with_fresh_seeds(groups: Sequence[Group], num_seeds: int) -> list[list[Path]]:
    """Train the configuration of each group with seeds that none of them, and no candidate, has.

    The command that is typed again goes on where it was. The runs lie in a folder beside those of the groups.

    Args:
        groups: the groups; the config of each is that of its first run, as it is stored there.
        num_seeds: number of seeds.
    Returns:
        The run directories of each group.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came.
        UserError: a config cannot be read or is not trusted, or a run failed.
    """
    from convline.data.source_cache import cache_sources  # imports torch

    candidates = [run for group in groups for row in group.candidates for run in [*row.runs, *row.others]]
    used = [run.seed for run in candidates if isinstance(run.seed, int)]
    seeds = range(max(used, default=-1) + 1, max(used, default=-1) + 1 + num_seeds)
    fingerprints: dict[str, str] = {}
    with cache_sources():
        jobs = [[_job(group, seed, fingerprints) for seed in seeds] for group in groups]
        all_jobs = list({job.identity: job for row in jobs for job in row}.values())
        runs_dir = groups[0].runs[0].runs_dir
        print(f"training each again with {plural(num_seeds, 'seed')} that chose nothing: {', '.join(map(str, seeds))}")
        with closing_report() as report_folder:
            name = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_confirm"
            folder, directories = open_folder(all_jobs, runs_dir, name, explicit=False, rerun="failed")
            for path in directories:
                update_summary(path, confirms=True)
            report_folder(folder.path)
            print(f"writing to {folder.path}")
            run_until_done(directories, LocalExecutor(fail_fast=False), fail_fast=False)
    if failed := [path for path in directories if read_status(path) != "finished"]:
        raise UserError(f"{len(failed)} of {plural(len(directories), 'run')} did not finish; see above")
    path_of = {job.identity: path for job, path in zip(all_jobs, directories, strict=True)}
    return [[path_of[job.identity] for job in row] for row in jobs]


def _job(group: Group, seed: int, fingerprints: dict[str, str]) -> Job:
    """Return the job of a group's configuration with another seed."""
    run = group.runs[0]
    if run.host:
        raise UserError(f"{run.folder} lies on another machine; confirm where its config.yaml can be read")
    cfg = read_trusted_config(run.folder)
    cfg.seed = seed
    summary = read_summary(run.folder)
    overrides, swept = (
        [*(word for word in summary.get(key, []) if not word.startswith("seed=")), f"seed={seed}"]
        for key in ("overrides", "swept")
    )
    return build_job(overrides, swept, cfg, dict(run.choices), fingerprints)
