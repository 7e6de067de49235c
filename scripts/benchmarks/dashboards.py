"""A whole run with everything that is shown by default, against the same run with nothing shown.

Child processes, so that each pays for what it imports and draws for the first time; they say themselves what the run
took, from reading the data to the last picture, and what its event files weigh.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import mnist
from benchmarks.measure import Comparison, Sample, Way, compare

RUN = """
import json, sys, tempfile, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from convline.run.start import start
from convline.config import load_config
cfg = load_config(sys.argv[1:])
with tempfile.TemporaryDirectory() as folder:
    wall, cpu = time.perf_counter(), time.process_time()
    start(cfg, Path(folder), "run", {})
    took = [time.process_time() - cpu, time.perf_counter() - wall]
    written = sum(path.stat().st_size for path in (Path(folder) / "run").glob("events.out.*"))
print(json.dumps([*took, written]))
"""
NOTHING = ["callbacks=plain", "callbacks.hparams=null", "callbacks.throughput=null", "logger=csv"]


def compare_dashboards(
    target: float, num_rounds: int, model: str = "lenet", data: tuple[str, list[str]] | None = None
) -> Comparison:
    """Measure the two runs.

    Args:
        target: largest ratio wanted.
        num_rounds: how often each is measured.
        model: option of the config group.
        data: in words, and the settings that choose them; MNIST if None.
    """
    source, words = data or mnist.settings()
    settings = [f"model={model}", *words, "trainer=cpu"]
    written: list[int] = []

    def child(more: list[str]) -> Sample:
        command = [sys.executable, "-c", RUN, *settings, *more]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        if done.returncode:
            raise RuntimeError(f"{' '.join(settings)} ended with status {done.returncode}:\n{done.stderr}")
        cpu, wall, num_bytes = json.loads(done.stdout.splitlines()[-1])
        written.append(num_bytes)
        return Sample(cpu, wall)

    ours = Way("run with all that is shown by default", lambda: child([]))
    other = Way("run with progress bar, checkpoints and metrics.csv alone", lambda: child(NOTHING))
    measured = compare(f"dashboards of {model}", ours, other, "cpu", "at most", target, num_rounds, warm_up=False)
    both = measured.our_samples, measured.other_samples
    medians = [statistics.median(sample.cpu for sample in samples) for samples in both]
    return measured.noted(
        threads=1,
        data=source,
        settings=settings,
        event_bytes=max(written),
        remark=f"medians {medians[0]:.2f} s and {medians[1]:.2f} s of processor time; "
        f"event files of {max(written) / 1e6:.2f} MB",
    )
