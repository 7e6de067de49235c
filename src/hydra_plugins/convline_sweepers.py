"""How Hydra finds Convline's sweepers: it takes plugins from the package `hydra_plugins` alone. What they do is in
`convline.sweeps`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Search(Sweeper):
    """Trials that learn from each other."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra with what `sweep` needs."""
        self._context, self._config = hydra_context, config

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Do them."""
        from convline.sweeps.search import search

        search(arguments, self._config, self._context)


class Grid(Search):
    """Every combination of the lists on the command line; a search where `sweep=NAME` brings a space.

    Args:
        params: lists for settings that the command line does not name, as in Hydra's own sweeper.
    """

    def __init__(self, params: Mapping[str, str]) -> None:
        self._params = params

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Do them."""
        if self._config.sweep.space:
            return super().sweep(arguments)
        from convline.sweeps.grid import sweep
        from convline.sweeps.jobs import with_params

        return sweep(with_params(arguments, self._params), self._config, self._context)
