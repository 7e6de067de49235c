"""Let Hydra find Convline's sweepers and the user's folders: it looks for plugins only in the package `hydra_plugins`.

The sweepers call `convline.sweeps`, which they import late, since Hydra imports its plugins for every command.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from convline.config.options import CONF_DIR, own_folders


class OwnFolders(SearchPathPlugin):
    """Let Hydra search the user's own folders after Convline's; programs other than Convline are left alone."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folders."""
        if any(str(element.path).removeprefix("file://") == str(CONF_DIR) for element in search_path.get_path()):
            for folder in own_folders():
                search_path.append("convline", f"file://{folder}")


class Search(Sweeper):
    """Run trials whose values Optuna chooses."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what `sweep` needs; Hydra calls this first."""
        self._context, self._config = hydra_context, config

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Run the search."""
        from convline.sweeps import search

        search(arguments, self._config, self._context)


class Grid(Search):
    """Run every combination of the lists on the command line; run a search if `sweep=NAME` brings a search space.

    Args:
        params: lists of values for settings that the command line does not name, as in Hydra's own sweeper.
    """

    def __init__(self, params: Mapping[str, str]) -> None:
        self._params = params

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Run the grid."""
        if self._config.sweep.space:
            return super().sweep(arguments)
        from convline.sweeps import sweep, with_params

        return sweep(with_params(arguments, self._params), self._config, self._context)
