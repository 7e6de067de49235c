"""How Hydra finds Convline's sweepers: it takes plugins from the package `hydra_plugins` alone. What they do is in
`convline.sweeps`.
"""

from collections.abc import Sequence
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class _ConvlineSweeper(Sweeper):
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra with what `sweep` needs."""
        self.context, self.config = hydra_context, config


class Grid(_ConvlineSweeper):
    """Every combination of the lists on the command line."""

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Do them."""
        from convline.sweeps.grid import sweep
        from convline.sweeps.launch import launcher

        sweep(arguments, self.config, launcher(self.config, self.context))
