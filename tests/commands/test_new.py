"""`convline new`: a project that runs at once, and its own tests pass."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import ROOT, assert_one_screen, convline, run_dirs


def test_the_project_trains_and_is_described(tmp_path: Path) -> None:
    done = convline(tmp_path, "new", "my-shapes")
    assert done.status == 0, done.err
    assert "convline train experiment=my_shapes" in done.out
    project = tmp_path / "my-shapes"
    assert "my_shapes" in convline(project, "train", "--help").out
    assert "parameters" in convline(project, "describe", "model=my_shapes", "data=my_shapes").out
    trained = convline(project, "train", "experiment=my_shapes", "trainer=cpu", "trainer.max_epochs=8")
    assert trained.status == 0, trained.err
    assert "test worst_class" in trained.out
    assert "validation accuracy" in trained.out
    (run_dir,) = run_dirs(project)
    assert convline(tmp_path, "evaluate", str(run_dir)).status == 0


@pytest.mark.slow
def test_its_own_tests_pass(tmp_path: Path) -> None:
    assert convline(tmp_path, "new", str(tmp_path / "shapes")).status == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        command, cwd=tmp_path / "shapes", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [("1st", "no name of a Python package"), ("torch", "would hide another"), ("full", "is not empty")],
)
def test_a_folder_that_cannot_be_a_project_is_refused(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    assert_one_screen(convline(tmp_path, "new", name), message)
