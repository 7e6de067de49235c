"""How Hydra finds Convline's sweepers: it takes plugins from the package `hydra_plugins` alone. What they do is in
`convline.sweeps`.
"""

from collections.abc import Sequence
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
    """Every combination of the lists on the command line; a search where `sweep=NAME` brings a space."""

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Do them."""
        if self._config.sweep.space:
            return super().sweep(arguments)
        from convline.sweeps.grid import sweep

        return sweep(arguments, self._config, self._context)
