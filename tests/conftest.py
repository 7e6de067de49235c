"""Fixtures and rules for the whole suite."""

import atexit
import os
import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch

from support.commands import ROOT
from support.watched_run import events, watched  # noqa: F401  (one run for all modules that look at it)

pytest.register_assert_rewrite("support.drawn", "support.pets", "support.pointing", "support.sweeping")
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the commands that tests start; two of them share the cores
os.environ["CONVLINE_CACHE"] = tempfile.mkdtemp(prefix="convline-cache-")  # nobody's own
os.environ["CONVLINE_STATE"] = str(Path(os.environ["CONVLINE_CACHE"]) / "state")
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "HYDRA_FULL_ERROR"):
    os.environ.pop(name, None)  # how commands print is for the tests to say, not for the terminal that runs them
atexit.register(shutil.rmtree, os.environ["CONVLINE_CACHE"], ignore_errors=True)

REAL_FILES = {
    "mnist": "MNIST/raw/train-images-idx3-ubyte",
    "cifar10": "cifar-10-batches-py/data_batch_1",
}


def real_data_root() -> Path:
    return Path(os.environ.get("CONVLINE_DATA", ROOT / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name, file in REAL_FILES.items() if not (real_data_root() / file).is_file()]
    # where the data must be there, a test that misses them fails in its own words
    if missing and not os.environ.get("CONVLINE_REQUIRE_DATA"):
        reason = f"no {' and '.join(missing)} in {real_data_root()}; set CONVLINE_DATA to a folder that holds them"
        for item in items:
            if item.get_closest_marker("realdata"):
                item.add_marker(pytest.mark.skip(reason=reason))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture
def data_root() -> Path:
    """The folder with the real MNIST and CIFAR-10."""
    return real_data_root()


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails at once, as on a machine without one."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, empty."""
    monkeypatch.setenv("CONVLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
