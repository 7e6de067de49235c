"""`python train.py` to the end of its first optimizer step, against importing torch and lightning.

Whole commands as child processes, the processor time of each by what the system says of a child that has ended. Neither
pays for taking the interpreter down: both end by `os._exit`.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.measure import Comparison, Sample, Way, compare

ROOT = Path(__file__).parents[2]
IMPORTS = "import os, torch, lightning; os._exit(0)"


def compare_startup(target: float, num_rounds: int) -> Comparison:
    """Measure the two commands.

    Args:
        target: largest ratio wanted.
        num_rounds: how often each is measured.
    """
    with tempfile.TemporaryDirectory() as folder:
        train = train_command(folder)
        ours = Way("python train.py to the end of its first step", lambda: child(train))
        other = Way("import torch, lightning", lambda: child([sys.executable, "-c", IMPORTS]))
        measured = compare("start-up", ours, other, "cpu", "at most", target, num_rounds)
    return measured.noted(
        threads=torch.get_num_threads(),
        remark="the imports that both commands make are most of either's time; the ratio shows what is added",
    )


def train_command(runs_dir: str) -> list[str]:
    """`python train.py` with its defaults, made to end after its first step."""
    stop = "+callbacks.end_after_first_step._target_=benchmarks.first_step.EndAfterFirstStep"
    return [sys.executable, str(ROOT / "train.py"), "steps_per_execution=1", stop, f"runs_dir={runs_dir}"]


def child(command: list[str]) -> Sample:
    """Run a command to its end; the processor time, user and system, of it and of its own children.

    Raises:
        RuntimeError: it failed.
    """
    paths = [str(ROOT / "scripts"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Sample(cpu, wall)
