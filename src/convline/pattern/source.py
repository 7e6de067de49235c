"""Locate an error in a pattern, and show it with an excerpt of the text."""

from __future__ import annotations

from dataclasses import dataclass

MAX_EXCERPT_WIDTH = 100  # characters of the text shown around the caret


@dataclass(frozen=True)
class SourceLocation:
    """Hold a position in a pattern or in the text of a block.

    Args:
        text: the whole text.
        offset: number of characters before the position.
        source: the name of the text in error messages: "pattern", "block basic(c, s)".
    """

    text: str
    offset: int = 0
    source: str = "pattern"

    @property
    def line(self) -> int:
        """Return the number of the line; the first is 1."""
        return self.text.count("\n", 0, self.offset) + 1

    @property
    def column(self) -> int:
        """Return the number of the character in its line; the first is 1."""
        return self.offset - (self.text.rfind("\n", 0, self.offset) + 1) + 1

    def __str__(self) -> str:
        line = f"line {self.line}, " if "\n" in self.text.strip() else ""
        return f"{self.source}, {line}column {self.column}" if line else f"{self.source} column {self.column}"

    def excerpt(self) -> str:
        """Return the line with a caret under the position; of a long line, the part around the position."""
        line, at = self.text.split("\n")[self.line - 1], self.column - 1
        line = "".join(char if char.isprintable() else " " for char in line)
        start = max(0, min(at - MAX_EXCERPT_WIDTH // 2, len(line) - MAX_EXCERPT_WIDTH))
        shown = line[start : start + MAX_EXCERPT_WIDTH]
        before, after = "…" * (start > 0), "…" * (start + MAX_EXCERPT_WIDTH < len(line))
        return f"    {before}{shown}{after}\n    {' ' * (len(before) + at - start)}^"


class PatternError(ValueError):
    """Report a pattern that cannot become a network, with an excerpt of its text.

    Args:
        problem: what is wrong, what was expected, and what to type.
        location: position of the problem; None if it concerns the whole text.
        uses: positions of the uses of blocks that contain the problem, outermost first.

    Attributes:
        line: number of the line, from 1; 1 if the problem concerns the whole text.
        column: number of the character in the line, from 1; 1 if the problem concerns the whole text.
    """

    def __init__(
        self, problem: str, location: SourceLocation | None = None, uses: tuple[SourceLocation, ...] = ()
    ) -> None:
        self.problem = problem
        self.location = location
        self.line = location.line if location else 1
        self.column = location.column if location else 1
        message = f"{location}: {problem}\n{location.excerpt()}" if location else f"pattern: {problem}"
        if uses:
            message += f"\n  used from {uses[0]}:\n{uses[0].excerpt()}"
        super().__init__(message)
