"""Child processes: they import what their parent imports, and end with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from convline.run.child_process import PARENT_PID, start_module


def test_a_file_in_the_current_folder_shadows_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "imports_random.py").write_text("import random; print(random.random() < 1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "package"))
    child = start_module("imports_random", [], {}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = child.communicate(timeout=60)
    assert (out, child.returncode) == ("True\n", 0), err


def test_a_child_exits_though_its_parent_died_before_it_began_to_watch() -> None:
    code = "import time; from convline.run.child_process import exit_with_parent; exit_with_parent(); time.sleep(60)"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    environment = {**os.environ, PARENT_PID: str(dead.pid)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=30).returncode == 1


def test_the_children_of_a_child_have_another_parent_than_it() -> None:
    grandchild = (
        "from convline.run.child_process import exit_with_parent; exit_with_parent(); import time; time.sleep(1)"
    )
    code = (
        "import subprocess, sys; from convline.run.child_process import exit_with_parent; exit_with_parent();"
        "sys.exit(subprocess.run([sys.executable, '-c', sys.argv[1]]).returncode)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, grandchild], env={**os.environ, PARENT_PID: str(os.getpid())})
    assert child.wait(60) == 0


def test_a_child_answers_signals_of_its_imports_when_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_imports.py").write_text(
        "import sys, time\n"
        "from convline.errors import STOP_SIGNALS, Interrupted\n"
        "from convline.signals import stoppable, unblock_signals\n"
        "print('importing', flush=True); sys.stdin.read()\n"
        "try:\n"
        "    with stoppable(''):\n"
        "        unblock_signals(*STOP_SIGNALS); time.sleep(10)\n"
        "except Interrupted as stop: print(stop.signum)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    child = start_module("slow_imports", [], {}, text=True, **pipes)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60) == ("2\n", "")
