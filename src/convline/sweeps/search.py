"""Run a search: check its settings, find or create its folder and study, run its trials, and print its outcome."""

from collections.abc import Sequence

from hydra.types import HydraContext
from omegaconf import DictConfig

from convline.config import validate
from convline.errors import UserError
from convline.sweeps.directory import new_folder_path
from convline.sweeps.executors import choose_executor
from convline.sweeps.finish import closing_report, prepare_report, print_best_trials
from convline.sweeps.trials import open_trials


def search(overrides: Sequence[str], cfg: DictConfig, context: HydraContext) -> None:
    """Begin or continue a search of the space that `-m OVERRIDES` defines.

    Args:
        overrides: overrides of the command line.
        cfg: the config that the trials share, with Hydra's node.
        context: Hydra's context, which its launchers need.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the table of the trials so far has been printed.
        UserError: a setting is invalid, or a trial failed.
    """
    validate.check_of_sweeps(cfg)
    if cfg.rerun != "failed":
        raise UserError(f"rerun={cfg.rerun}: a search goes on where it is; for another one type sweep.seed=1")
    from convline.data.source_cache import (
        cache_sources,  # imports torch, which takes seconds: the checks above come first
    )

    with cache_sources():
        trials = open_trials(overrides, cfg, *new_folder_path(cfg))
        with closing_report(prepare=lambda: prepare_report(trials)) as report_folder:
            print(trials.summary())
            report_folder(trials.folder)
            choose_executor(cfg, context).run_trials(trials)
        print_best_trials(trials)
