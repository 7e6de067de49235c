"""Split a text into tokens: names, numbers and signs. Patterns and augmentations share them.

This module needs no torch.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from convline.pattern.source import PatternError, SourceLocation

KEYWORDS: dict[str, bool | str] = {"true": True, "false": False, "same": "same", "valid": "valid"}


@dataclass(frozen=True)
class Token:
    """Hold a name, a number or a sign of the text, or the end of the text.

    Args:
        kind: "name", "number", "end", or the sign itself.
        text: the characters of the token; empty at the end of the text.
        location: the position of its first character.
    """

    kind: str
    text: str
    location: SourceLocation

    def __str__(self) -> str:
        return "the end of the text" if self.kind == "end" else f"'{self.text}'"


_LEXEME = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)
      | (?P<number>-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
      | (?P<sign>->|[\[\](){}|,*?=])""",
    re.VERBOSE,
)


def tokens(text: str, source: str) -> list[Token]:
    """Split a text into tokens, and leave out blanks and comments.

    Args:
        text: the text.
        source: the name of the text in error messages.
    Returns:
        The tokens in their order; the last one is of the kind "end".
    Raises:
        PatternError: a character belongs to no token.
    """
    split, offset = [], 0
    while offset < len(text):
        location = SourceLocation(text, offset, source)
        lexeme = _LEXEME.match(text, offset)
        if lexeme is None:
            raise PatternError(f"{text[offset]!r} is no part of the language; steps are joined by '->'", location)
        offset = lexeme.end()
        if lexeme.lastgroup != "blank":
            kind = lexeme.group() if lexeme.lastgroup == "sign" else str(lexeme.lastgroup)
            split.append(Token(kind, lexeme.group(), location))
    return [*split, Token("end", "", SourceLocation(text, len(text.rstrip()), source))]


def read_number(text: str) -> int | float:
    """Read a number: an int if it is written as one, else a float.

    Raises:
        ValueError: the text is not a number, has more than 30 characters, or is not finite.
    """
    if len(text) > 30:
        raise ValueError("a number of more than 30 characters")
    number = int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)
    if not math.isfinite(number):
        raise ValueError("the number is too large")
    return number


def number_of(token: Token) -> int | float:
    """Return the value of a token of the kind "number".

    Raises:
        PatternError: the number is too long or too large.
    """
    try:
        return read_number(token.text)
    except ValueError as error:
        raise PatternError(str(error), token.location) from None
