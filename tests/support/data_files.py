"""Small data files in the published formats, for the tests of the sources that read them."""

import hashlib
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def idx(shape: tuple[int, ...], magic: bytes = b"\0\0\x08", values: bytes | None = None) -> bytes:
    """An IDX file of unsigned bytes: zeros, or `values`."""
    content = bytes(int(np.prod(shape))) if values is None else values
    return magic + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


def idx_of(array: np.ndarray) -> bytes:
    return idx(array.shape, values=array.astype(np.uint8).tobytes())


def as_python2(content: dict[str, Any]) -> bytes:
    """A pickle whose strings are bytes, as those are that Python 2 wrote."""
    return pickle.dumps({_bytes(key): _bytes(value) for key, value in content.items()}, protocol=2)


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    return [_bytes(item) for item in value] if isinstance(value, list) else value


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def publish_cifar(published: Any, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these files be the ones whose MD5 sums torchvision's class knows."""
    for table in ("train_list", "test_list"):
        monkeypatch.setattr(published, table, [[name, md5(contents[name])] for name, _ in getattr(published, table)])
    meta = published.meta
    monkeypatch.setattr(published, "meta", {**meta, "md5": md5(contents[meta["filename"]])})


def write_files(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder
