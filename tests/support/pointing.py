"""What every error in a text must look like, whatever the text."""

import re

from convline.pattern.source import MAX_EXCERPT_WIDTH, PatternError


def assert_points(error: PatternError, text: str, source: str = "pattern") -> None:
    """The message is three lines: where and what is wrong, the line of the text, a caret under the place."""
    heading, drawn, caret = str(error).split("\n")
    assert re.match(rf"{re.escape(source)}(, line {error.line},)? column {error.column}: \S", heading), heading
    assert heading.isprintable()
    assert len(heading) < 500
    assert not re.search(r"\b(Name|Product|SourceLocation|Token|Call)\(", heading), (
        "it speaks of the text, not of the program"
    )
    assert not re.search(r"(is|not) \[", heading), "a list is spread or refused as one, never a value"
    line = "".join(char if char.isprintable() else " " for char in text.split("\n")[error.line - 1])
    before, after = line[: error.column - 1], line[error.column - 1 :]
    assert len(before) == error.column - 1, "the place is inside the line or at its end"
    at = len(caret) - 1
    assert caret == " " * at + "^"
    assert drawn.startswith("    ")
    assert len(drawn) <= 4 + MAX_EXCERPT_WIDTH + 2
    assert before.endswith(drawn[4:at].removeprefix("…"))
    assert after.startswith(drawn[at:].removesuffix("…"))
    assert bool(drawn[at:]) == bool(after)
    if came := re.search(r"but '(.+)' came", heading):
        assert after.startswith(came.group(1)), "the caret stands under what came"
    elif "the end of the text came" in heading:
        assert not after.split("#")[0].strip()
