"""Cached arrays: made once, never half, and made again when anything is not as it was."""

import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convline.data.array_cache import cached_array
from convline.errors import UserError
from convline.storage import cache_directory

SHAPE = (5, 1, 2, 3)


class Maker:
    """Gives rows of its number, and counts how often it is asked."""

    def __init__(self, number: int = 7, num_rows: int = 5) -> None:
        self.number, self.num_rows, self.asked = number, num_rows, 0

    def rows(self) -> Iterator[np.ndarray]:
        self.asked += 1
        for _ in range(self.num_rows):
            yield np.full(SHAPE[1:], self.number, dtype=np.uint8)

    def get(self, place: Path, version: str = "v1", settings: str = "s1") -> tuple[np.ndarray, dict[str, Any]]:
        return cached_array(place, version, settings, SHAPE, self.rows, lambda array: {"sum": int(array.sum())})


def test_it_is_made_once_and_then_mapped(tmp_path: Path) -> None:
    maker = Maker()
    for _ in range(3):
        array, note = maker.get(tmp_path)
        assert (array == 7).all()
        assert (array.shape, array.dtype) == (SHAPE, np.uint8)
        assert isinstance(array, np.memmap)
        assert note == {"sum": 7 * 30}
    assert maker.asked == 1


def test_changes_stay_private(tmp_path: Path) -> None:
    maker = Maker()
    maker.get(tmp_path)[0][:] = 1
    assert (maker.get(tmp_path)[0] == 7).all()
    assert maker.asked == 1


def test_fewer_rows_than_expected_make_a_shorter_array(tmp_path: Path) -> None:
    maker = Maker(num_rows=3)
    for _ in range(2):
        assert maker.get(tmp_path)[0].shape == (3, 1, 2, 3)
    assert maker.asked == 1
    assert np.load(tmp_path / "v1-s1.npy").shape == (3, 1, 2, 3)  # a .npy file like any other


def test_settings_live_side_by_side_and_other_versions_go(tmp_path: Path) -> None:
    Maker(1).get(tmp_path, "v1", "s1")
    Maker(2).get(tmp_path, "v1", "s2")
    assert (Maker(3).get(tmp_path, "v1", "s1")[0] == 1).all()
    (tmp_path / "v0-s1.npy.tmp").write_bytes(b"of a process that was killed")
    Maker(4).get(tmp_path, "v2", "s1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "v2-s1.json", "v2-s1.npy"]


def damage(path: Path, how: str) -> None:
    sidecar = path.with_suffix(".json")
    content, times = bytearray(path.read_bytes()), path.stat()
    if how == "cut short":
        path.write_bytes(content[:-1])
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "one bit":
        time.sleep(0.01)  # so that the clock of the file system has moved on
        content[-1] ^= 1
        path.write_bytes(content)
    elif how == "header, in the same second":
        content[:6] = b"\x93NOPES"
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif how == "gone":
        path.unlink()
    elif how == "no sidecar":
        sidecar.unlink()
    elif how == "sidecar is no JSON":
        sidecar.write_text("{")
    elif how == "sidecar of another form":
        sidecar.write_text(json.dumps([1]))


@pytest.mark.parametrize(
    "how",
    ["cut short", "emptied", "one bit", "header, in the same second", "gone", "no sidecar", "sidecar is no JSON",
     "sidecar of another form"],
)  # fmt: skip
def test_a_damaged_one_is_made_again(how: str, tmp_path: Path) -> None:
    Maker().get(tmp_path)
    damage(tmp_path / "v1-s1.npy", how)
    again = Maker()
    assert (again.get(tmp_path)[0] == 7).all()
    assert again.asked == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError, ValueError])
def test_nothing_is_left_if_making_it_fails(error: type[BaseException], tmp_path: Path) -> None:
    def fail() -> Iterator[np.ndarray]:
        yield np.zeros(SHAPE[1:], dtype=np.uint8)
        raise error("stopped")

    with pytest.raises(error):
        cached_array(tmp_path, "v1", "s1", SHAPE, fail, lambda array: {})
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert (Maker().get(tmp_path)[0] == 7).all()


def test_of_several_at_once_one_makes_it(tmp_path: Path) -> None:
    """Threads hold the lock through open files of their own, as processes do."""
    maker, begun = Maker(), threading.Barrier(4)
    arrays: list[np.ndarray] = []

    def get() -> None:
        begun.wait()
        arrays.append(maker.get(tmp_path)[0])

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert maker.asked == 1
    assert all((array == 7).all() for array in arrays)
    assert len(arrays) == 4


def test_a_folder_that_cannot_be_written_is_named_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="export CONVLINE_CACHE=FOLDER") as caught:
        Maker().get(tmp_path / "file" / "below")
    assert str(tmp_path / "file" / "below") in str(caught.value)


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    def fail() -> Iterator[np.ndarray]:
        yield np.zeros(SHAPE[1:], dtype=np.uint8)
        raise OSError(errno.ENOSPC, "No space left on device")  # as writing does

    with pytest.raises(UserError, match=r"No space left on device\.\n.*CONVLINE_CACHE"):
        cached_array(tmp_path, "v1", "s1", SHAPE, fail, lambda array: {})
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_the_directory_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CONVLINE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_directory() == tmp_path / ".cache" / "convline"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "convline"
    monkeypatch.setenv("CONVLINE_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
