"""An exception in one callback after the test is reported, and the next callback is still called."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils import tensorboard

from convline.callbacks.after_test import AfterTest, run_after_test
from convline.training.loaded_run import LoadedRun
from support.failing import RaiseAfterTest


class RecordStep(AfterTest):
    """Keep the arguments of the call."""

    def after_test(self, run: Any, writer: Any, step: int) -> None:
        self.writer, self.step = writer, step


def call_after_test(run_dir: Path, *callbacks: AfterTest, **settings: Any) -> None:
    trainer: Any = SimpleNamespace(**{"callbacks": callbacks, "loggers": [], "global_step": 1} | settings)
    run_after_test(trainer, LoadedRun(run_dir))


def test_a_failure_is_reported_and_the_next_callback_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    following = RecordStep()
    call_after_test(tmp_path, RaiseAfterTest(0), following)
    assert (following.writer, following.step) == (None, 1)
    log = tmp_path / "log.txt"
    assert capsys.readouterr().err == f"callback RaiseAfterTest failed: no space left (traceback: {log})\n"
    assert "failing.py" in log.read_text()


def test_an_event_file_that_cannot_be_opened_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(tensorboard, "SummaryWriter", full)
    call_after_test(tmp_path, RaiseAfterTest(0), loggers=[TensorBoardLogger(tmp_path)])
    assert capsys.readouterr().err.startswith("opening the event file failed: no space left (traceback: ")
