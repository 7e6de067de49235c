"""Open the Optuna study of a search, with a storage, a sampler and a pruner that allow the search to be resumed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from convline.errors import UserError
from convline.formatting import first_line
from convline.sweeps.search_space import Dimension

if TYPE_CHECKING:
    import optuna

MAX_TRIES = 4  # to open a storage: if two processes create its tables at the same moment, one of them fails
OBJECTIVES: dict[str, Literal["minimize", "maximize"]] = {
    "val/acc": "maximize",
    "val/loss": "minimize",
    "parameters": "minimize",
    "macs": "minimize",
    "seconds": "minimize",
}


def need_optuna() -> None:
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


def check(settings: DictConfig) -> None:
    """Check that a search selects by validation metrics, and that its sampler and pruner suit its objectives.

    Raises:
        UserError: they do not.
    """
    if not settings.objectives:
        raise UserError(f"sweep.objectives is empty: name one or more of {', '.join(OBJECTIVES)}")
    for name in settings.objectives:
        if name.startswith("test/"):
            raise UserError(
                f"sweep.objectives has {name}, but what is chosen by the test set has seen it: its test accuracy would "
                f"mean nothing.\n  Type: sweep.objectives=[val/{name.removeprefix('test/')}]"
            )
        if name not in OBJECTIVES:
            raise UserError(f"sweep.objectives has {name}, but it may have: {', '.join(OBJECTIVES)}")
    if settings.pruner and (len(settings.objectives) > 1 or not settings.objectives[0].startswith("val/")):
        raise UserError("a pruner compares one validation metric: choose sweep.objectives=[val/acc], or no pruner.")
    sampler = settings.sampler["_target_"].rpartition(".")[2] if settings.sampler else ""
    if not sampler:
        raise UserError("a search needs a sampler: choose one with sweep/sampler=NAME")
    if sampler == "CmaEsSampler" and len(settings.objectives) > 1:
        raise UserError("CMA-ES has one objective; for several there is sweep/sampler=nsgaii")


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
            opened = optuna.create_study(
                storage=storage,
                study_name=name,
                load_if_exists=True,
                sampler=_seeded(settings, dimensions),
                pruner=instantiate(settings.pruner) if settings.pruner else optuna.pruners.NopPruner(),
                directions=[OBJECTIVES[objective] for objective in settings.objectives],
            )
            return opened, storage
        except Exception as error:
            if not tries_left:
                raise UserError(
                    f"the storage of the search cannot be opened: {first_line(error)}\n  sweep.storage={url}"
                ) from error
            time.sleep(0.5)
    raise AssertionError


def _refuse_password(url: str) -> None:
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


def _seeded(settings: DictConfig, dimensions: Sequence[Dimension]) -> Any:
    """Return a sampler that is created anew for each trial, seeded by the search's seed and the trial's number.

    Optuna does not store the random state of a sampler: one that is created again when a search is resumed would repeat
    its random numbers, and propose the same values. With a seed per trial, any process continues the same sequence.
    """
    import numpy as np
    from optuna.samplers import BaseSampler

    make = instantiate(OmegaConf.to_container(settings.sampler, resolve=True))
    is_grid = make.func.__name__ == "GridSampler"
    grid = {dimension.key: dimension.grid() for dimension in dimensions} if is_grid else {}

    class Seeded(BaseSampler):
        def before_trial(self, study: Any, trial: Any) -> None:
            own = int(np.random.SeedSequence([settings.seed, trial.number]).generate_state(1)[0])
            self._inner = make(grid, seed=settings.seed) if is_grid else make(seed=own)
            self._inner.before_trial(study, trial)

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self._inner.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self._inner.sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return self._inner.sample_independent(study, trial, param_name, param_distribution)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            if not is_grid:  # GridSampler would call study.stop(), which raises outside Study.optimize
                make(seed=0).after_trial(study, trial, state, values)

    return Seeded()
