"""Run many trainings with one command: grids and searches that can be stopped, resumed, extended and shared.

The package imports neither torch nor Optuna, so that a sweep with a misspelled setting fails at once.
"""

from convline.sweeps.grid import sweep
from convline.sweeps.jobs import Job, compose, plan, with_params
from convline.sweeps.search import search

__all__ = ["Job", "compose", "plan", "search", "sweep", "with_params"]
