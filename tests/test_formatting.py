"""Text that several packages share; counts, durations and settings are tested with the report's table."""

import pytest

from convline.formatting import first_line, nearest, plural, shape_text


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
