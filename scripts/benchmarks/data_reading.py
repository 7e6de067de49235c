"""From the files of CIFAR-10 to data that are ready to train on: time, and memory at its highest.

Ours in a child process that has imported what it needs, against torchvision's CIFAR10, which reads and verifies the
same files but does not split them, compute statistics or hash them. The children say themselves what it took.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Comparison, Sample, Way, compare

HEAD = """
import json, resource, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
"""
OURS = """
from convline.config import load_config
from convline.training.setup import instantiate_node
from lightning.pytorch import Trainer
cfg = load_config(["data=cifar10"])
import torchvision.datasets
data = instantiate_node(cfg, "data", ("channels", "image_size"))
work = lambda: (data.read(), data.fingerprint())
"""
OTHER = """
from torchvision.datasets import CIFAR10
from lightning.pytorch import Trainer
from convline.training import setup as build
root = sys.argv[1]
work = lambda: [CIFAR10(root, train=train, download=True) for train in (True, False)]
"""
TAIL = """
before, wall, cpu = peak(), time.perf_counter(), time.process_time()
work()
print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall, peak() - before]))
"""


def compare_reading(target: float, num_rounds: int) -> Comparison | None:
    """Measure reading CIFAR-10, both parts; None where it is not there.

    Args:
        target: largest ratio wanted.
        num_rounds: how often each is measured.
    """
    root = Path(os.environ.get("CONVLINE_DATA", "data"))
    if not (root / "cifar-10-batches-py" / "data_batch_1").is_file():
        return None
    peaks: dict[str, list[float]] = {OURS: [], OTHER: []}

    def child(code: str) -> Sample:
        done = subprocess.run(
            [sys.executable, "-c", HEAD + code + TAIL, str(root)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "CONVLINE_DATA": str(root)},
            capture_output=True,
            text=True,
            check=True,
        )
        cpu, wall, peak = json.loads(done.stdout.splitlines()[-1])
        peaks[code].append(peak)
        return Sample(cpu, wall)

    ours = Way("read, verify, split, statistics, fingerprint", lambda: child(OURS))
    other = Way("torchvision's CIFAR10, read and verify", lambda: child(OTHER))
    measured = compare("start-up of CIFAR-10", ours, other, "cpu", "at most", target, num_rounds)
    median = sorted(sample.cpu for sample in measured.our_samples)[num_rounds // 2]
    return measured.noted(
        data="CIFAR-10, 60,000 images",
        threads=1,
        remark=f"ours takes {median:.2f} s of processor time in the median, and memory rises by at most "
        f"{max(peaks[OURS]):.0f} MiB (torchvision's: {max(peaks[OTHER]):.0f} MiB)",
    )
