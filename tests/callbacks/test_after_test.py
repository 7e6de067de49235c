"""A callback that fails after the test leaves a line, and its traceback where it can be read."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convline.callbacks.after_test import run_after_test
from convline.training.loaded_run import LoadedRun
from support.failing import RaiseAfterTest


def fail(run_dir: Path) -> None:
    trainer: Any = SimpleNamespace(callbacks=[RaiseAfterTest(0)], loggers=[], global_step=1)
    run_after_test(trainer, LoadedRun(run_dir))


def test_the_traceback_is_in_the_log_of_a_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.txt").write_text("epoch 1\n")
    fail(tmp_path)
    assert f"The traceback is in {tmp_path / 'log.txt'}" in capsys.readouterr().out
    log = (tmp_path / "log.txt").read_text()
    assert log.startswith("epoch 1\nTraceback")
    assert "failing.py" in log


def test_with_debug_the_traceback_is_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("debug: true\nmodel: {}\n")
    fail(tmp_path)
    assert "Traceback" in capsys.readouterr().err


def test_otherwise_the_line_names_how_to_see_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fail(tmp_path)
    printed = capsys.readouterr()
    assert printed.out == "nothing of RaiseAfterTest: no space left\n  Type debug=true to see the traceback.\n"
    assert printed.err == ""
