"""Run many trainings with one command: grids and searches that can be stopped, resumed, extended and shared.

Importing this package imports neither torch nor Optuna, so that a sweep with a misspelt setting is refused at once.
"""

from convline.sweeps.grid import sweep
from convline.sweeps.jobs import Job, compose, plan, with_params
from convline.sweeps.search import search

__all__ = ["Job", "compose", "plan", "search", "sweep", "with_params"]
