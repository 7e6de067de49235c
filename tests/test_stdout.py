"""Output that cannot be written as it is: nothing fails for that."""

import io
import sys

import pytest

from convline.stdout import output_survives


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("ascii", "3×8×8 … ± → –", "3x8x8 ... +- -> -"),
        ("latin-1", "3×8 – 猫", "3×8 - \\u732b"),
        ("utf-8", "name\udce9 ×", "name\\udce9 ×"),
    ],
)
def test_a_character_that_the_encoding_lacks_is_replaced(
    encoding: str, text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with output_survives():
        print(text)
        print(text, file=sys.stderr, flush=True)
    for stream in (out, err):
        assert stream.buffer.getvalue().decode(encoding) == f"{expected}\n"  # type: ignore[attr-defined]
