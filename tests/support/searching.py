"""A small search, and what it has left."""

import re
from pathlib import Path

from support.commands import Done
from support.sweeping import TINY

SEARCH = ["-m", "hydra/sweeper=search", *TINY, "optimizer.lr=tag(log,interval(0.001,1))", "data.batch_size=8,16,32"]


def trial_dirs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in (folder / "runs").glob("*/*/summary.json"))


def done_trials(done: Done) -> list[int]:
    return [int(number) for number in re.findall(r"^── trial (\d+) of", done.out, flags=re.MULTILINE)]
