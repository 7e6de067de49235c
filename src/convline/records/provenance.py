"""Describe what a run runs on: command, code, versions of packages, hardware, data."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from convline.formatting import typed_command
from convline.records.identity import code_version

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf", "numpy", "tensorboard")


def environment(data_fingerprint: str) -> dict[str, Any]:
    """Return the content of environment.json."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "command": typed_command(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "code": code_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "hardware": {
            "system": platform.platform(),
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": gpus,
        },
        "data_fingerprint": data_fingerprint,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
