"""Each damage of a text file of a run is a message that names the file and what is wrong; none hangs or ends Python."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from convline.errors import UserError
from convline.records.directory import read_environment, read_status, read_summary, update_summary
from convline.records.files import RunFileError, read_mapping, read_record, read_rows
from convline.records.lock import is_held, locked
from convline.reporting.run_records import read_run

DEEP = 200_000

DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "is missing"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "a folder": (lambda path: path.mkdir(), "it is a folder"),
    "a pipe": (lambda path: os.mkfifo(path), "it is a pipe or a device"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is a pipe or a device"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "is missing"),
    "not UTF-8": (lambda path: path.write_bytes(b'{"status": "\xff"}'), "is not UTF-8"),
    "truncated": (lambda path: path.write_bytes(b'{"status": "runn'), "cannot be read"),
    "a list": (lambda path: path.write_bytes(b"[1, 2]"), "a list instead of a mapping"),
    "nested": (lambda path: path.write_bytes(b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}"), "nested more than"),
    "nested deeply": (lambda path: path.write_bytes(b'{"a": ' + b"[" * DEEP + b"]" * DEEP + b"}"), "nested too deep"),
    "a large number": (lambda path: path.write_bytes(b'{"a": 1' + b"0" * 400 + b"}"), "more than 64 bits"),
    "5,000 digits": (lambda path: path.write_bytes(b'{"a": 1' + b"0" * 5000 + b"}"), "4300 digits"),
    "half a character": (lambda path: path.write_bytes(b'{"a": "\\ud800"}'), "is no text"),
}


@pytest.mark.parametrize("name", ["summary.json", "config.yaml"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(damage: str, name: str, tmp_path: Path) -> None:
    make, problem = DAMAGES[damage]
    if name == "config.yaml":
        problem = {"half a character": "cannot be read", "5,000 digits": "cannot be read"}.get(damage, problem)
    make(tmp_path / name)
    with pytest.raises(RunFileError, match=problem) as caught:
        read_mapping(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a [1,1,1,1,1,1,1,1]\n"
        + "\n".join(f"{b}: &{b} [{','.join([f'*{a}'] * 8)}]" for a, b in zip("abcdef", "bcdefg", strict=False)),
        "- " * DEEP + "1",
        "? " * DEEP + "1",
        "a: !!python/object/apply:os.getcwd []",
    ],
    ids=["recursive", "multiplied", "lists", "keys", "code"],
)
def test_yaml_that_never_ends_or_runs_something_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RunFileError, match="cannot be read"):
        read_mapping(tmp_path / "config.yaml")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "summary.json", "wb") as file:
        file.truncate(10**11)  # no space is taken: it is a hole
    with pytest.raises(RunFileError, match="100,000,000,000 bytes"):
        read_mapping(tmp_path / "summary.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("status", "well"), ("seconds", -1), ("seconds", "x"), ("seconds", float("inf")), ("metrics", [1]),
        ("metrics", {"val/acc": "x"}), ("choices", 5), ("class_accuracy", {"val": [1]}), ("swept", "x"), ("pid", 1.5),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_named(key: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"status": "finished", key: value}))
    with pytest.raises(UserError, match=f"{key} must be"):
        read_summary(tmp_path)
    record = read_run(tmp_path)  # a report shows the run all the same
    assert record.status == "incomplete"
    assert f"{key} must be" in record.error


def test_a_damaged_summary_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(RunFileError):
        update_summary(tmp_path, status="running")
    assert (tmp_path / "summary.json").read_text() == "[]"


def test_an_environment_may_be_missing_but_not_damaged(tmp_path: Path) -> None:
    assert read_environment(tmp_path) == {}
    (tmp_path / "environment.json").write_text("{}")
    with pytest.raises(RunFileError, match="it holds no data_fingerprint"):
        read_environment(tmp_path)


@pytest.mark.parametrize("directory", ["..", "../elsewhere", "/tmp", "", "a/b"])
def test_the_jobs_of_a_sweep_lie_in_its_folder(directory: str, tmp_path: Path) -> None:
    job = {"directory": directory, "overrides": [], "identity": "a", "recipe": "b"}
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": [job], "created": 0}))
    with pytest.raises(RunFileError, match="jobs must be"):
        read_record(tmp_path / "sweep.json")


def test_rows_of_a_damaged_csv_are_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text('epoch,step\n1,"' + "x" * 200_000)
    with pytest.raises(RunFileError, match=r"metrics\.csv cannot be read"):
        read_rows(path)
    path.write_text("epoch,step\n1\n2,20,5\n")
    assert read_rows(path) == [{"epoch": "1"}, {"epoch": "2", "step": "20"}]


class TestLock:
    """A lock or a heartbeat that is no file neither hangs nor locks for ever."""

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"host": 1}', b'{"host": "x", "pid": 1e99}', b"\xff"])
    def test_a_damaged_heartbeat_counts_as_dead_when_it_is_stale(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "heartbeat").write_bytes(content)
        os.utime(tmp_path / "heartbeat", (0, 0))
        (tmp_path / "summary.json").write_text('{"status": "running"}')
        assert not is_held(tmp_path)
        assert read_status(tmp_path) == "interrupted"
        with locked(tmp_path):
            assert is_held(tmp_path)

    def test_a_pipe_or_a_folder_in_the_place_of_the_lock_does_not_hang(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / ".lock")
        with locked(tmp_path):
            assert is_held(tmp_path)
        (tmp_path / ".lock").unlink()
        (tmp_path / ".lock").mkdir()
        with pytest.raises(UserError, match=r"\.lock cannot be opened"), locked(tmp_path):
            pass

    def test_a_folder_in_the_place_of_the_heartbeat_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "heartbeat").mkdir()
        os.utime(tmp_path / "heartbeat", (0, 0))
        with pytest.raises(UserError, match="heartbeat cannot be replaced"), locked(tmp_path):
            pass
