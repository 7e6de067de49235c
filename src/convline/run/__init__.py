"""Take one run from its config to its record, on one process or on several ranks.

`train.py` is the path of a run; `launch.py` starts the ranks and watches them. Nothing is exported here, since a sweep
imports `processes.py` without torch.
"""

__all__: list[str] = []
