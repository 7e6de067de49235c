"""Damage a file of a run directory: as a file, as text, as JSON or YAML, as a checkpoint, as stored predictions."""

import functools
import json
import operator
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

Damage = Callable[[Path], object]

_ODD_VALUES: dict[str, Any] = {
    "nothing": None, "-1": -1, "a text": "x", "a list": [1, 2], "a mapping": {"a": 1}, "infinity": float("inf"),
    "not a number": float("nan"), "true": True, "400 digits": 10**400,
}  # fmt: skip


def damages_of(path: Path) -> Iterator[tuple[str, Damage]]:
    """Yield the names of the damages that suit a file, and functions that do them."""
    yield from _of_any_file()
    if path.suffix in (".json", ".yaml") or path.name == "heartbeat":
        yield from _of_mapping(path)
    elif path.suffix == ".ckpt":
        yield from _of_checkpoint(path)
    elif path.suffix == ".npz":
        yield from _of_predictions()


def _of_any_file() -> Iterator[tuple[str, Damage]]:
    contents = {
        "empty": b"",
        "zeros": bytes(1000),
        "random bytes": random.Random(0).randbytes(5000),
        "not UTF-8": b"\xff\xfe\xc0",
        "a word": b"hello",
        "a long line": b'"' + b"x" * 300_000,
        "nested 1,000 deep": b"[" * 1000 + b"]" * 1000,
        "nested 100,000 deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "dashes 100,000 deep": b"- " * 100_000 + b"1",
        "5,000 digits": b"9" * 5000,
    }
    yield "missing", Path.unlink
    yield from ((name, functools.partial(Path.write_bytes, data=content)) for name, content in contents.items())
    yield "truncated", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    yield "a byte less", lambda path: path.write_bytes(path.read_bytes()[:-1])
    for seed in range(3):
        yield f"a flipped bit {seed}", functools.partial(_flip, seed=seed)
    yield "a folder", _instead(Path.mkdir)
    yield "a pipe", _instead(os.mkfifo)
    yield "a link to itself", _instead(lambda path: path.symlink_to(path.name))
    yield "a link to nothing", _instead(lambda path: path.symlink_to("nothing"))
    yield "a link to an endless device", _instead(lambda path: path.symlink_to("/dev/zero"))


def _flip(path: Path, seed: int) -> None:
    content = bytearray(path.read_bytes())
    generator = random.Random(seed)
    if content:
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def _instead(make: Callable[[Path], object]) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _of_mapping(path: Path) -> Iterator[tuple[str, Damage]]:
    for name, value in _ODD_VALUES.items():
        yield f"it holds {name}", functools.partial(_write, content=value)
        for seed in range(3):
            yield f"{name} in the place of value {seed}", functools.partial(_replace_value, value=value, seed=seed)
    content = _read(path)
    for key in content if isinstance(content, dict) else ():
        yield f"without {key}", functools.partial(_without, key=key)
    yield "half a character", lambda path: path.write_text('{"status": "\\ud800"}')
    yield "a reference to itself", lambda path: path.write_text("a: &a [*a]\nmodel: *a\n")


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())  # which reads JSON too


def _write(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content) if path.suffix == ".yaml" else json.dumps(content))


def _replace_value(path: Path, value: Any, seed: int) -> None:
    """Replace one value of a mapping, of its mappings, or of theirs, chosen by a seed."""
    content = node = _read(path)
    generator = random.Random(f"{path.name} {seed}")
    while True:
        key = generator.choice(list(node))
        if not (isinstance(node[key], dict) and node[key] and generator.random() < 0.8):
            break
        node = node[key]
    node[key] = value
    _write(path, content)


def _without(path: Path, key: str) -> None:
    content = _read(path)
    del content[key]
    _write(path, content)


def _of_checkpoint(path: Path) -> Iterator[tuple[str, Damage]]:
    content = torch.load(path, weights_only=True)
    for key in content:
        yield f"without {key}", functools.partial(_change_checkpoint, change=operator.methodcaller("pop", key))
        for name in ("nothing", "a text", "a list", "a mapping", "-1"):
            change = functools.partial(_set, key=key, value=_ODD_VALUES[name])
            yield f"{name} as {key}", functools.partial(_change_checkpoint, change=change)
    weight = next(iter(content["state_dict"]))
    for name, value in {
        "a list": [1.0], "nothing": None, "a number": 1.0, "another shape": torch.zeros(3, 3),
        "complex numbers": torch.zeros_like(content["state_dict"][weight], dtype=torch.complex64),
        "no tensor": torch.zeros(0),
    }.items():  # fmt: skip
        change = functools.partial(_set_inner, outer="state_dict", key=weight, value=value)
        yield f"{name} as a weight", functools.partial(_change_checkpoint, change=change)
    yield (
        "a weight too many",
        functools.partial(
            _change_checkpoint,
            change=functools.partial(_set_inner, outer="state_dict", key="zzz", value=torch.zeros(1)),
        ),
    )
    yield (
        "of another epoch",
        functools.partial(_change_checkpoint, change=functools.partial(_set, key="epoch", value=10**6)),
    )
    for key in ("state", "param_groups"):
        for name in ("nothing", "a list", "a mapping"):
            change = functools.partial(_set_in_optimizer, key=key, value=_ODD_VALUES[name])
            yield f"{name} as {key} of the optimizer", functools.partial(_change_checkpoint, change=change)


def _change_checkpoint(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    content[key] = value


def _set_inner(content: dict[str, Any], outer: str, key: str, value: Any) -> None:
    content[outer][key] = value


def _set_in_optimizer(content: dict[str, Any], key: str, value: Any) -> None:
    content["optimizer_states"][0][key] = value


def _of_predictions() -> Iterator[tuple[str, Damage]]:
    labels = {
        "fewer labels": lambda labels: labels[:7],
        "labels -1": lambda labels: labels - 1000,
        "labels 99": lambda labels: labels + 99,
        "labels as floats": lambda labels: labels + 0.5,
        "labels as texts": lambda labels: labels.astype(str),
        "labels as complex numbers": lambda labels: labels.astype(complex),
        "labels as objects": lambda labels: labels.astype(object),
        "no labels": lambda labels: labels[:0],
    }
    for name, change in labels.items():
        yield name, functools.partial(_save, change_labels=change)
    logits = {
        "logits of one axis": lambda logits: logits[:, 0],
        "logits of three axes": lambda logits: logits[..., None],
        "logits of fewer classes": lambda logits: logits[:, :3],
        "logits as texts": lambda logits: logits.astype(str),
        "logits as complex numbers": lambda logits: logits.astype(complex),
        "logits that are no numbers": lambda logits: logits * np.nan,
        "logits of no image": lambda logits: logits[:0],
    }
    for name, change in logits.items():
        yield name, functools.partial(_save, change_logits=change)
    yield "a bare array", _bare
    yield "without labels", lambda path: np.savez(path, logits=np.zeros((3, 10), np.float32))


def _save(
    path: Path,
    change_logits: Callable[[Any], Any] = lambda logits: logits,
    change_labels: Callable[[Any], Any] = lambda labels: labels,
) -> None:
    with np.load(path) as saved:
        content = {"logits": change_logits(saved["logits"]), "labels": change_labels(saved["labels"])}
    np.savez(path, **content)


def _bare(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.zeros(5))
