"""A process that begins a run imports what it needs, and nothing that takes seconds before it is needed."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from convline.errors import UserError
from convline.run import start as start_module


def test_neither_torch_nor_lightning_is_imported_before_the_run_begins() -> None:
    code = "import convline.main, convline.sweeps, sys; print({'torch', 'lightning'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_what_starts_ranks_imports_no_lightning() -> None:
    code = "import convline.main, convline.run.launch, sys; print('lightning' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_a_run_directory_that_is_removed_in_flight_is_one_message(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "config.yaml").touch()

    def write_after_removal() -> None:
        with start_module._faults_explained(run_dir):
            shutil.rmtree(run_dir)
            run_dir.mkdir()  # as a logger does
            raise FileNotFoundError(run_dir / "metrics.csv")

    with pytest.raises(UserError, match="is gone: somebody has removed it"):
        write_after_removal()


def test_what_the_machine_lacks_is_named_with_the_command_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / "summary.json").write_text('{"status": "running", "started": "now"}')

    def fill_the_disk() -> None:
        with start_module._faults_explained(tmp_path):
            raise OSError(errno.ENOSPC, "No space left on device", "last.ckpt")

    with pytest.raises(UserError, match=r"the disk is full: last.ckpt.\n  When that is mended, type: .*resume="):
        fill_the_disk()
