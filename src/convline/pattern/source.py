"""Where in a text something stands, and the error that points there."""

from __future__ import annotations

from dataclasses import dataclass

MAX_EXCERPT_WIDTH = 100  # characters of the text shown around the caret


@dataclass(frozen=True)
class SourceLocation:
    """A position in a pattern or in the text of a block.

    Args:
        text: the whole text.
        offset: characters before the position.
        source: what the text is, as the user knows it: "pattern", "block basic(c, s)".
    """

    text: str
    offset: int = 0
    source: str = "pattern"

    @property
    def line(self) -> int:
        """1-based."""
        return self.text.count("\n", 0, self.offset) + 1

    @property
    def column(self) -> int:
        """1-based, in characters."""
        return self.offset - (self.text.rfind("\n", 0, self.offset) + 1) + 1

    def __str__(self) -> str:
        line = f"line {self.line}, " if "\n" in self.text.strip() else ""
        return f"{self.source}, {line}column {self.column}" if line else f"{self.source} column {self.column}"

    def excerpt(self) -> str:
        """The line of the text with a caret under the position; a long line is cut around it."""
        line, at = self.text.split("\n")[self.line - 1], self.column - 1
        line = "".join(char if char.isprintable() else " " for char in line)
        start = max(0, min(at - MAX_EXCERPT_WIDTH // 2, len(line) - MAX_EXCERPT_WIDTH))
        shown = line[start : start + MAX_EXCERPT_WIDTH]
        before, after = "…" * (start > 0), "…" * (start + MAX_EXCERPT_WIDTH < len(line))
        return f"    {before}{shown}{after}\n    {' ' * (len(before) + at - start)}^"


class PatternError(ValueError):
    """A pattern that cannot become a network; the message shows where, and what to type instead.

    Args:
        problem: what came, what was expected, what to type.
        location: where in the text; None if the text as a whole is meant.
        uses: the block uses that led there, outermost first.

    Attributes:
        line: 1-based; 1 if the text as a whole is meant.
        column: 1-based; 1 if the text as a whole is meant.
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
