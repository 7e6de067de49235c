"""Run directories: one process each; the living are told from the dead, on this machine and on others."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from convline.records import lock
from convline.records.directory import read_status, update_summary
from convline.records.lock import HEARTBEAT, STALE_SECONDS, HeldError, is_held, locked


def heartbeat_of(run_dir: Path, host: str, pid: int, age: float = 0) -> Path:
    path = run_dir / HEARTBEAT
    path.write_text(json.dumps({"host": host, "pid": pid}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


HERE = socket.gethostname()


def test_one_holder_at_a_time_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert is_held(tmp_path)
        assert lock.holder_pid(tmp_path) == os.getpid()
        with pytest.raises(HeldError, match="still running, in another process"), locked(tmp_path):
            pass
        assert is_held(tmp_path)
    assert not is_held(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with locked(tmp_path):
        pass


def test_the_heartbeat_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    heartbeat_of(tmp_path, HERE, dead_pid())
    assert not is_held(tmp_path)
    with locked(tmp_path):
        assert lock.holder_pid(tmp_path) == os.getpid()
    assert not (tmp_path / HEARTBEAT).exists()


def test_a_fresh_heartbeat_of_another_machine_is_believed_and_a_stale_one_is_not(tmp_path: Path) -> None:
    heartbeat_of(tmp_path, "elsewhere", os.getpid(), age=STALE_SECONDS - 5)
    assert is_held(tmp_path)
    assert lock.holder_pid(tmp_path) is None
    with pytest.raises(HeldError), locked(tmp_path):
        pass
    heartbeat_of(tmp_path, "elsewhere", os.getpid(), age=STALE_SECONDS + 5)
    assert not is_held(tmp_path)
    with locked(tmp_path):
        assert lock.holder_pid(tmp_path) == os.getpid()


def test_a_process_here_that_lives_is_believed_for_as_long_as_it_beats(tmp_path: Path) -> None:
    heartbeat_of(tmp_path, HERE, os.getpid())
    assert is_held(tmp_path)
    heartbeat_of(tmp_path, HERE, os.getpid(), age=STALE_SECONDS + 5)  # the number was given to another process
    assert not is_held(tmp_path)


def test_a_run_on_a_read_only_disk_can_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat_of(tmp_path, "elsewhere", 1)
    monkeypatch.setattr("tempfile.TemporaryFile", Mock(side_effect=OSError(errno.EROFS, "Read-only file system")))
    assert is_held(tmp_path)
    heartbeat_of(tmp_path, "elsewhere", 1, age=STALE_SECONDS + 5)
    assert not is_held(tmp_path)


def test_the_heartbeat_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.02)
    with locked(tmp_path):
        os.utime(tmp_path / HEARTBEAT, (1, 1))
        end = time.monotonic() + 20
        while (tmp_path / HEARTBEAT).stat().st_mtime < 2:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_without_locks_of_the_file_system_the_heartbeat_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with locked(tmp_path), pytest.raises(HeldError), locked(tmp_path):
        pass
    heartbeat_of(tmp_path, HERE, dead_pid())
    with locked(tmp_path):
        pass


def test_a_heartbeat_that_is_not_written_yet_counts_as_anothers(tmp_path: Path) -> None:
    (tmp_path / HEARTBEAT).touch()
    assert is_held(tmp_path)
    with pytest.raises(HeldError), locked(tmp_path):
        pass


def test_a_run_whose_process_died_is_interrupted(tmp_path: Path) -> None:
    update_summary(tmp_path, status="running")
    with locked(tmp_path):
        assert read_status(tmp_path) == "running"
    assert read_status(tmp_path) == "interrupted"
    update_summary(tmp_path, status="finished")
    assert read_status(tmp_path) == "finished"


def test_many_processes_that_want_one_directory_get_it_in_turn(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from convline.records.lock import HeldError, locked\n"
        "held = 0\n"
        "while held < 50:\n"
        "    try:\n"
        "        with locked(Path(sys.argv[1])):\n"
        "            before = Path(sys.argv[1], 'count').read_text(); time.sleep(0.001)\n"
        "            Path(sys.argv[1], 'count').write_text(str(int(before) + 1)); held += 1\n"
        "    except HeldError: time.sleep(0.0005)\n"
    )
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert int((tmp_path / "count").read_text()) == 4 * 50


def test_a_forked_process_that_outlives_its_parent_does_not_hold_the_lock(tmp_path: Path) -> None:
    ready, told = os.pipe()
    with locked(tmp_path):
        child = os.fork()
        if not child:  # as a worker that loads data
            os.write(told, b"ready")
            signal.pause()
            os._exit(0)
        os.read(ready, 5)
    with locked(tmp_path):
        assert lock.holder_pid(tmp_path) == os.getpid()
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "it has outlived the block"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_after_the_clock_was_set_back_the_heartbeat_of_a_dead_machine_is_not_believed(tmp_path: Path) -> None:
    heartbeat_of(tmp_path, "elsewhere", 1, age=-3600)
    assert not is_held(tmp_path)
    with locked(tmp_path):
        assert lock.holder_pid(tmp_path) == os.getpid()


def test_what_a_process_left_that_was_killed_while_it_locked_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"{HEARTBEAT}.{HERE}.{dead_pid()}").touch()
    with locked(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", HEARTBEAT]


def test_where_files_have_one_name_only_the_heartbeat_is_made_without_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.link", Mock(side_effect=OSError(errno.EPERM, "Operation not permitted")))
    with locked(tmp_path):
        assert lock.holder_pid(tmp_path) == os.getpid()
        with pytest.raises(HeldError), locked(tmp_path):
            pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
