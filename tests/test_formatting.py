"""Text that several packages share; counts, durations and settings are tested with the report's table."""

import sys
from pathlib import Path

import pytest

from convline.formatting import first_line, nearest, plural, shape_text, typed_command


def test_shapes() -> None:
    assert [shape_text(shape) for shape in ((1, 28, 28), [10], ())] == ["1×28×28", "10", ""]


def test_plural() -> None:
    assert [plural(n, "class", "classes") for n in (1, 1024)] == ["1 class", "1,024 classes"]
    assert plural(2, "run") == "2 runs"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lenett", " (did you mean 'lenet'?)"),
        ("vgg", " (did you mean 'vgg11'?)"),  # the first that begins with it, though 'vg' is as near
        ("xyz", ""),
        ("", ""),
    ],
)
def test_nearest(name: str, expected: str) -> None:
    assert nearest(name, ["lenet", "vg", "vgg16", "vgg11"]) == expected


def test_first_line() -> None:
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/bin/convline", "train", "seed=1"], ["convline", "train", "seed=1"]),
        (["/bin/convline", "-m", "seed=0,1"], ["convline", "train", "-m", "seed=0,1"]),  # as Hydra reads them
        (["/x/convline/__main__.py", "seed=1"], ["convline", "train", "seed=1"]),
        (["train.py", "seed=1"], [Path(sys.executable).name, "train.py", "seed=1"]),
    ],
)
def test_what_was_typed_can_be_typed_again(
    arguments: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    assert typed_command() == words
