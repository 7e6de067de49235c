"""Open the Optuna study of a search, with a storage, a sampler and a pruner that allow the search to be resumed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from convline.config.metrics import lower_is_better, monitors
from convline.config.signatures import check_arguments
from convline.errors import UserError
from convline.formatting import first_line
from convline.sweeps.search_space import Dimension

if TYPE_CHECKING:
    import optuna

MAX_TRIES = 4  # to open a storage: if two processes create its tables at the same moment, one of them fails
COSTS = ("parameters", "macs", "seconds")  # objectives that are minimized, beside the validation metrics


def check_optuna() -> None:
    """Check that Optuna is installed, and silence its log.

    Raises:
        UserError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError("a search needs Optuna.\n  Type: pip install 'convline[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def check_settings(settings: DictConfig, names: Sequence[str] = ()) -> None:
    """Check that the objectives of a search are no test metrics, and that sampler and pruner suit the objectives.

    Args:
        settings: the config's node `sweep`.
        names: metrics that the runs measure beside loss and accuracy.

    Raises:
        UserError: an objective, the sampler or the pruner is not allowed.
    """
    known = [*(monitor for monitor in monitors(names) if monitor.startswith("val/")), *COSTS]
    if not settings.objectives:
        raise UserError(f"sweep.objectives is empty: name one or more of {', '.join(known)}")
    for name in settings.objectives:
        if name.startswith("test/"):
            raise UserError(
                f"sweep.objectives has {name}, but what is chosen by the test set has seen it: its test accuracy would "
                f"mean nothing.\n  Type: sweep.objectives=[val/{name.removeprefix('test/')}]"
            )
        if name not in known:
            raise UserError(f"sweep.objectives has {name}, but it may have: {', '.join(known)}")
    for name in ("sampler", "pruner"):
        if settings[name]:
            check_arguments(f"sweep.{name}", settings[name])
    if settings.pruner and (len(settings.objectives) > 1 or not settings.objectives[0].startswith("val/")):
        raise UserError("a pruner compares one validation metric: choose sweep.objectives=[val/acc], or no pruner.")
    sampler = settings.sampler["_target_"].rpartition(".")[2] if settings.sampler else ""
    if not sampler:
        raise UserError("a search needs a sampler: choose one with sweep/sampler=NAME")
    if sampler == "CmaEsSampler" and len(settings.objectives) > 1:
        raise UserError("CMA-ES has one objective; for several there is sweep/sampler=nsgaii")


def _direction(objective: str) -> Literal["minimize", "maximize"]:
    return "minimize" if objective in COSTS or lower_is_better(objective) else "maximize"


def open_study(
    url: str, name: str, settings: DictConfig, dimensions: Sequence[Dimension]
) -> tuple[optuna.Study, optuna.storages.BaseStorage]:
    """Open or create the study with this name.

    Args:
        url: URL of the storage.
        name: name of the study; it identifies everything that makes trials comparable.
        settings: the config's node `sweep`.
        dimensions: the search space.
    Returns:
        The study, and its storage.
    Raises:
        UserError: the storage cannot be opened.
    """
    import optuna

    _refuse_password(url)
    for tries_left in reversed(range(MAX_TRIES)):
        try:
            storage = _storage(url)
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                load_if_exists=True,
                sampler=_seeded_sampler(settings, dimensions),
                pruner=instantiate(settings.pruner) if settings.pruner else optuna.pruners.NopPruner(),
                directions=[_direction(objective) for objective in settings.objectives],
            )
            return study, storage
        except Exception as error:
            if not tries_left:
                raise UserError(
                    f"the storage of the search cannot be opened: {first_line(error)}\n  sweep.storage={url}"
                ) from error
            time.sleep(0.5)
    raise AssertionError


def _refuse_password(url: str) -> None:
    """Check that the URL of a storage is valid and holds no password.

    Raises:
        UserError: it is invalid, or holds a password.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        password = make_url(url).password
    except ArgumentError as error:
        raise UserError(f"sweep.storage={url} is no URL, such as postgresql+psycopg://USER@HOST/DATABASE") from error
    if password:
        raise UserError(
            "sweep.storage holds a password, which would be written into the config of every trial.\n"
            "  Leave it out; PostgreSQL takes it from the environment variable PGPASSWORD or from ~/.pgpass."
        )


def _storage(url: str) -> optuna.storages.RDBStorage:
    import optuna

    # SQLite lets one process write and others wait, by default for 5 s, which is too short on a network file system
    arguments = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    return optuna.storages.RDBStorage(url, engine_kwargs=arguments)


def default_url(folder: Path) -> str:
    """Return the URL of the SQLite database in a sweep's folder."""
    return f"sqlite:///{folder.absolute() / 'study.db'}"


def _seeded_sampler(settings: DictConfig, dimensions: Sequence[Dimension]) -> Any:
    """Build a sampler that creates Optuna's sampler anew for each trial, seeded by search and trial number.

    Optuna does not store the random state of a sampler: a resumed search would repeat the random numbers, and propose
    the same values. With a seed per trial, any process continues the same sequence.
    """
    import numpy as np
    from optuna.samplers import BaseSampler

    create_sampler = instantiate(OmegaConf.to_container(settings.sampler, resolve=True))
    is_grid = create_sampler.func.__name__ == "GridSampler"
    grid = {dimension.key: dimension.grid() for dimension in dimensions} if is_grid else {}

    class SeededSampler(BaseSampler):
        def before_trial(self, study: Any, trial: Any) -> None:
            if is_grid:
                self._sampler = create_sampler(grid, seed=settings.seed)
            else:
                trial_seed = int(np.random.SeedSequence([settings.seed, trial.number]).generate_state(1)[0])
                self._sampler = create_sampler(seed=trial_seed)
            self._sampler.before_trial(study, trial)

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self._sampler.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self._sampler.sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return self._sampler.sample_independent(study, trial, param_name, param_distribution)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            if not is_grid:  # GridSampler would call study.stop(), which raises outside Study.optimize
                create_sampler(seed=0).after_trial(study, trial, state, values)

    return SeededSampler()
