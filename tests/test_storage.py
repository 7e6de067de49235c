"""Files are written whole, locks exclude other processes and end with them, hashes are those of the first edition."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from convline.storage import cache_directory, exclusive_lock, replacing, short_hash, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"status": "waiting"})

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half of ")
            assert json.loads(path.read_text()) == {"status": "waiting"}, "a reader sees the old file until the rename"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert json.loads(path.read_text()) == {"status": "waiting"}
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "a.csv", "1×28\r\n2\n")
    assert (tmp_path / "a.csv").read_bytes() == b"1\xc3\x9728\r\n2\n"


def test_values_that_json_does_not_know_become_text(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"path": Path("runs")})
    assert (tmp_path / "a.json").read_text() == '{\n  "path": "runs"\n}\n'


HOLDER = """
import sys, time
from pathlib import Path
from convline.storage import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_excludes_other_processes_until_its_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(path, timeout=0.2).acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    begin = time.monotonic()
    with exclusive_lock(path):
        assert time.monotonic() - begin < 5


def test_where_files_cannot_be_locked_the_block_runs_all_the_same(tmp_path: Path, monkeypatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError("No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with exclusive_lock(tmp_path / ".lock"):
        pass
    with pytest.raises(FileNotFoundError), exclusive_lock(tmp_path / "no folder" / ".lock"):
        pytest.fail("a folder that is not there is an error of another kind")


def test_hashes_are_those_of_the_first_edition() -> None:
    digest = hashlib.blake2b(b"one", digest_size=8)
    digest.update(b"two")
    assert short_hash("one", b"two") == short_hash("onetwo") == digest.hexdigest()
    name = os.fsdecode(b"\xff.png")  # a file's name that is not UTF-8
    assert short_hash(name) == hashlib.blake2b(b"\xff.png", digest_size=8).hexdigest()


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"CONVLINE_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/convline"),
        ({"HOME": "/home/ada"}, "/home/ada/.cache/convline"),
    ],
)
def test_cache_directory(variables: dict[str, str], folder: str, monkeypatch) -> None:
    for name in ("CONVLINE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_directory() == Path(folder)
