"""Python imports this module when it starts in a process that a killed command has started: it installs the points."""

import os
import sys
from pathlib import Path

if "CONVLINE_KILL_PLAN" in os.environ and "CONVLINE_KILL_MAIN" in os.environ:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from hardening import points

    points.install(points.Plan.decode(os.environ[points.PLAN]), int(os.environ["CONVLINE_KILL_MAIN"]))
    sys.path.pop(0)
