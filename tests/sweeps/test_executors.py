"""Waiting for jobs costs the same however many have ended, and importing sweeps imports nothing heavy."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from convline.sweeps import executors
from support.commands import shell
from support.sweeping import NoExecutor


@pytest.mark.parametrize("num_finished", [3, 300])
def test_waiting_reads_only_jobs_that_may_still_change(
    num_finished: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, running = [tmp_path / str(index) for index in range(num_finished)], tmp_path / "running"
    num_reads = Counter[Path]()

    def status(run_dir: Path) -> str:
        num_reads[run_dir] += 1
        if run_dir == running:
            return "running" if num_reads[running] < 20 else "finished"
        return "finished"

    monkeypatch.setattr(executors, "read_status", status)
    monkeypatch.setattr(executors, "POLL_SECONDS", 0.0)
    executors.run_until_done([*finished, running], NoExecutor(), fail_fast=False)
    assert num_reads[running] >= 20
    assert {num_reads[run_dir] for run_dir in finished} == {1}


def test_importing_sweeps_imports_neither_torch_nor_optuna() -> None:
    code = "import sys, convline.sweeps; print({'torch', 'lightning', 'optuna', 'scipy'} & set(sys.modules))"
    assert shell(sys.executable, "-c", code).out == "set()\n"
