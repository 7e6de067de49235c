"""No module is taken from the current folder in the place of Python's: in no kind of process that is started."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convline.run import launch
from convline.run.child_process import import_path
from convline.sweeps import hydra_launcher, ray_cluster

STANDARD = str(Path(os.__file__).parent)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a random.py; Python has put it in front of the import path, Convline at its end."""
    (tmp_path / "random.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "probe.py").write_text("import random; print(random.random() < 1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py")])
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *filter(None, sys.path), str(tmp_path)])
    return tmp_path


def comes_last(path: str, folder: Path) -> bool:
    """Whether the folder is on an import path, and after the standard library."""
    entries = path.split(os.pathsep)
    return entries.index(STANDARD) < entries.index(str(folder)) == len(entries) - 1


def run_probe(words: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_the_import_path_of_children_has_the_users_folders_last(folder: Path) -> None:
    assert comes_last(import_path(), folder)


def test_a_folder_that_the_user_has_put_into_the_path_keeps_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(folder))
    assert import_path().split(os.pathsep)[0] == str(folder)


def test_ranks(folder: Path) -> None:
    with launch._environment_of_ranks(2, is_replaced=False):
        assert comes_last(os.environ["PYTHONPATH"], folder)
        assert run_probe(["-P", "-m", "probe"], dict(os.environ)) == "True\n"


def test_jobs_of_a_launcher_of_hydra(folder: Path) -> None:
    with hydra_launcher._environment_of_tasks():
        # as submitit and joblib start them: without -P, which their commands do not have
        assert run_probe(["-m", "probe"], dict(os.environ)) == "True\n"
    assert "PYTHONSAFEPATH" not in os.environ
    assert run_probe(["-m", "probe"], dict(os.environ)) == "shadowed\n"  # the probe finds what is shadowed


def test_tasks_of_ray(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray puts the folder of the script and the current one in front of the path of its workers."""
    seen: dict[str, Any] = {}

    def init(runtime_env: dict[str, Any], **options: Any) -> None:
        seen.update(current=os.getcwd(), script=Path(sys.argv[0]).parent, path=runtime_env["env_vars"]["PYTHONPATH"])

    cluster = object.__new__(ray_cluster.RayCluster)
    cluster._settings = SimpleNamespace(address=None)
    cluster._ray = SimpleNamespace(init=init, shutdown=lambda: None)
    arguments = sys.argv
    with cluster._connected():
        assert (Path.cwd(), sys.argv) == (folder, arguments)
    assert comes_last(seen["path"], folder)
    for place in (seen["current"], seen["script"]):
        assert Path(place) != folder
        assert str(place) not in sys.path
