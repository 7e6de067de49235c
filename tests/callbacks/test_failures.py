"""A failure is one line on stderr and a traceback in the run's log, and the code after it goes on."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from convline.callbacks.failures import failures_reported
from convline.config import load_config
from convline.errors import Interrupted, UserError
from convline.training.loaded_run import LoadedRun


def fail(run_dir: Path, error: BaseException, debug: bool = False) -> None:
    with failures_reported("drawing filters", LoadedRun(run_dir, OmegaConf.create({"debug": debug}))):
        raise error


@pytest.mark.parametrize("error", [ValueError("a bug\nin two lines"), UserError("a bug\n  Type: something else")])
def test_one_line_on_stderr_names_what_failed_and_why(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(tmp_path, error)
    printed = capsys.readouterr()
    assert printed.err == f"drawing filters failed: a bug (traceback: {tmp_path / 'log.txt'})\n"
    assert printed.out == ""


def test_the_traceback_is_appended_to_the_log(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("epoch 1\n")
    fail(tmp_path, ValueError("a bug\nin two lines"))
    log = (tmp_path / "log.txt").read_text()
    assert log.startswith("epoch 1\ndrawing filters failed: a bug\nTraceback (most recent call last):\n")
    assert "test_failures.py" in log
    assert log.endswith("ValueError: a bug\nin two lines\n")


def test_with_debug_the_traceback_is_on_stderr_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fail(tmp_path, UserError("no maps"), debug=True)
    line, rest = capsys.readouterr().err.split("\n", 1)
    assert line.startswith("drawing filters failed: no maps")
    assert rest.startswith("Traceback")
    assert rest in (tmp_path / "log.txt").read_text()


def test_debug_is_read_from_the_run_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    OmegaConf.save(load_config(["debug=true"]), tmp_path / "config.yaml", resolve=True)
    with failures_reported("drawing filters", LoadedRun(tmp_path)):
        raise ValueError("a bug")
    assert "Traceback" in capsys.readouterr().err


def test_a_directory_without_a_config_is_not_debugged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with failures_reported("drawing filters", LoadedRun(tmp_path)):
        raise ValueError("a bug")
    assert capsys.readouterr().err.count("\n") == 1


def test_without_a_log_the_traceback_is_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.txt").mkdir()  # cannot be opened for writing, as on a full disk
    fail(tmp_path, OSError("no space left"))
    assert capsys.readouterr().err.startswith("drawing filters failed: no space left\nTraceback")


@pytest.mark.parametrize("error", [Interrupted(2), KeyboardInterrupt()])
def test_interruptions_are_not_caught(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        fail(tmp_path, error)
    assert not (tmp_path / "log.txt").exists()
