"""Take one run from its config to its records, in one process or in several ranks.

`train.py` is the recipe of a run, `world.py` decides which of several ranks this process is, and `launch.py` starts
ranks. The package exports nothing, because a sweep imports `child_process.py` without torch.
"""

__all__: list[str] = []
