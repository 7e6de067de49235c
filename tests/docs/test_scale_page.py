"""The commands of docs/scale.md, as they stand."""

import os
import sys
from pathlib import Path

import pytest

from support.commands import ROOT, Done, run_dirs, shell
from support.run_files import summary
from support.services import free_port

PAGE = (ROOT / "docs" / "scale.md").read_text()
SECTIONS = dict(section.split("\n", 1) for section in PAGE.split("\n## ")[1:])


def block(section: str, language: str = "sh") -> str:
    """The first code block of a section."""
    return SECTIONS[section].split(f"```{language}\n")[1].split("```")[0]


def typed(script: str, folder: Path, **environment: str) -> Done:
    """A block of the page, in a folder that holds train.py; as on a terminal, but for the port, which may be taken."""
    (folder / "train.py").write_text((ROOT / "train.py").read_text())
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    script = script.replace("29500", str(free_port()))
    environment = {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"} | environment
    return shell("bash", "-e", "-c", script, cwd=folder, timeout=240, **environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "ranks"),
    [
        ("One process", 1),
        ("Several devices of one machine", 2),
        ("torchrun, on one machine", 2),
        ("torchrun, on several machines", 2),
    ],
)
def test_a_command_trains_one_run_on_its_ranks(section: str, ranks: int, tmp_path: Path) -> None:
    done = typed(block(section), tmp_path)
    assert done.status == 0, done.err
    (run_dir,) = run_dirs(tmp_path)
    assert summary(run_dir)["status"] == "finished"
    assert (f"{ranks} ranks, each with" in done.out) == (ranks > 1)
