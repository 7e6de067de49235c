"""List the settings of Convline, and what no run could use: odd values, and words that are no settings."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from convline.config.compose import compose_config
from convline.config.options import groups

VALUES = {
    "null": "null",
    "minus one": "-1",
    "zero": "0",
    "fraction": "1.5",
    "not a number": "nan",
    "infinity": "inf",
    "minus infinity": "-inf",
    "huge fraction": "1e30",
    "huge number": "1000000000000",
    "5,000 digits": "9" * 5000,
    "word": "abc",
    "empty text": "''",
    "other letters": "'ü → \"#=\"'",
    "NUL": "'a\0b'",
    "long text": "x" * 5000,
    "truth": "true",
    "empty list": "[]",
    "list": "[1,2]",
    "deep list": "[" * 90 + "]" * 90,
    "empty mapping": "{}",
    "mapping": "{a:1}",
    "function": "{_target_: os.getcwd}",
    "no value": "???",
    "reference": "'${nope}'",
    "reference to itself": "'${.}'",
}
ADDED = ("nope=1", "nope={_target_:os.getcwd}", "_target_=os.getcwd", "_target_=5", "_args_=[1]", "_partial_=abc")

LONG_WORDS: tuple[tuple[str, ...], ...] = (
    ("seeds=" + "9" * 5000,),
    ("resume=" + "x" * 5000,),
    ("resume=nope", "trainer.devices=" + "9" * 5000),
    ("runs_dir=" + "x/" * 3000,),
    ("name=" + "x" * 300,),
    ("a" * 5000 + "=1",),
    (".".join("a" * 3000) + "=1",),
    ("resume='a\0b'",),
    ("resume=\udcff",),
    ("name=\udcff",),
    ("runs_dir=\udcff",),
    ("\udcff=1",),
    ("name='\n'",),
    ("seed=\n1",),
    ('model.pattern="' + "FC(64) -> " * 1000 + 'FC"',),
    ('model.pattern="' + "[" * 3000 + '"',),
    ('model.pattern="FC(' + "9" * 5000 + ') -> FC"',),
)


def settings() -> dict[str, tuple[str, Any]]:
    """Return each setting of the options of all groups: the words that choose its option, and its value there.

    A key that several options have is listed once for each `_target_` that it belongs to. Nodes are listed too.
    Experiments are left out, as they only set what other groups have.
    """
    options = {group: names for group, names in groups().items() if group != "experiment"}
    found: dict[tuple[str, str], tuple[str, Any]] = {}
    for index in range(max(map(len, options.values()))):  # one composition for an option of each group
        chosen = {group: f"{group}={names[index]}" for group, names in options.items() if index < len(names)}
        words = [word for choice in chosen.values() for word in (choice, *NEEDED.get(choice, ()))]
        cfg, _ = compose_config(tuple(words))
        for key, target, value in _leaves(OmegaConf.to_container(cfg, resolve=False), "", ""):
            inner = [group for group in options if f"{key}.".startswith(group.replace("/", ".") + ".")]
            choice = chosen.get(max(inner, key=len), "") if inner else ""
            found.setdefault((key, target), (" ".join((choice, *NEEDED.get(choice, ()))).strip(), value))
    return {f"{choice} {key}".strip(): (choice, value) for (key, _), (choice, value) in found.items()}


NEEDED = {"data=folder": ("data.root=images",), "data=datamodule": ("data.module._target_=os.getcwd",)}


def _leaves(node: Any, prefix: str, target: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(node, dict):
        target = str(node.get("_target_", target))
        for name, child in node.items():
            yield f"{prefix}{name}", target, child
            yield from _leaves(child, f"{prefix}{name}.", target)


def cases() -> Iterator[tuple[str, ...]]:
    """Yield the words of each case: odd words first, then each setting."""
    yield from LONG_WORDS
    for line in Path(__file__).with_name("odd_words.txt").read_text().splitlines():
        if not line.startswith("#"):
            yield tuple(shlex.split(line))
    for entry, (choice, value) in settings().items():
        key = entry.rpartition(" ")[2]
        before = tuple(choice.split())
        if key.partition(".")[0] in ("sweep", "workers", "rerun", "fail_fast"):
            before = ("-m", "hydra/sweeper=search", "sweep.trials=1", "optimizer.lr=interval(0.01,0.1)", *before)
        for odd in VALUES.values():
            yield (*before, f"{key}={odd}")
        yield (*before, f"~{key}")
        if isinstance(value, dict):
            for added in ADDED:
                yield (*before, f"+{key}.{added}")


def write_images(folder: Path) -> None:
    """Write a folder of two classes of three images each, for `data=folder`."""
    from PIL import Image

    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for index in range(5):
            Image.new("L", (8, 8), 20 * index).save(folder / name / f"{index}.png")
