"""The smallest part of the language, which patterns and augmentations share: tokens, and the arguments of a call.

    name(64, 3, stride=2, pad=same)

What a name means, and which arguments it takes, is decided elsewhere. No torch here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from convline.pattern.source import PatternError, SourceLocation
from convline.pattern.syntax_tree import Argument, Name, Product, Value

KEYWORDS: dict[str, bool | str] = {"true": True, "false": False, "same": "same", "valid": "valid"}


@dataclass(frozen=True)
class Token:
    """A word, a number or a sign, and where it stands."""

    kind: str  # "name", "number", "end", or the sign itself
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
    """The text in pieces, blanks and comments left out; the last one is of the kind "end".

    Raises:
        PatternError: a sign is unknown.
    """
    found, offset = [], 0
    while offset < len(text):
        location = SourceLocation(text, offset, source)
        lexeme = _LEXEME.match(text, offset)
        if lexeme is None:
            raise PatternError(f"{text[offset]!r} is no part of the language; steps are joined by '->'", location)
        offset = lexeme.end()
        if lexeme.lastgroup != "blank":
            kind = lexeme.group() if lexeme.lastgroup == "sign" else str(lexeme.lastgroup)
            found.append(Token(kind, lexeme.group(), location))
    return [*found, Token("end", "", SourceLocation(text, len(text.rstrip()), source))]


class CallParser:
    """Takes tokens one after another; a subclass says what may stand around calls.

    Args:
        text: what is read.
        source: what error messages call it.
    """

    expected = "a number or a variable"  # as a value, in error messages

    def __init__(self, text: str, source: str) -> None:
        self.tokens = tokens(text, source)
        self.index = 0

    @property
    def next(self) -> Token:
        """The first token that was not taken."""
        return self.tokens[self.index]

    def take(self, kind: str) -> Token | None:
        """The next token if it is of this kind, else None."""
        if self.next.kind != kind:
            return None
        self.index += 1
        return self.tokens[self.index - 1]

    def arguments(self) -> tuple[Argument, ...]:
        """ "(" [argument ("," argument)*] ")" """
        opening = self.tokens[self.index]
        self.index += 1
        found: list[Argument] = []
        while not self.take(")"):
            if found and not self.take(","):
                if self.next.kind == "end":
                    raise PatternError("this '(' is never closed; add ')'", opening.location)
                raise PatternError(f"expected ',' or ')', but {self.next} came", self.next.location)
            found.append(self.argument())
            if found[-1].name is None and any(earlier.name for earlier in found):
                raise PatternError("an argument by position cannot follow one by name; swap them", found[-1].location)
        return tuple(found)

    def argument(self) -> Argument:
        """[name "="] value"""
        start = self.next
        if start.kind == "name" and self.tokens[self.index + 1].kind == "=":
            self.index += 2
            return Argument(start.text.lower(), self.value(), start.location)
        return Argument(None, self.value(), start.location)

    def value(self) -> Value:
        """factor ("*" factor)*"""
        start = self.next
        factors = [self.factor()]
        while self.take("*"):
            factors.append(self.factor())
        if len(factors) == 1:
            return factors[0]
        if any(isinstance(factor, bool | str) for factor in factors):
            raise PatternError("only numbers and variables can be multiplied", start.location)
        return Product(tuple(factors), start.location)  # type: ignore[arg-type]

    def factor(self) -> int | float | bool | str | Name:
        """A number, true, false, same, valid or a variable."""
        if token := self.take("number"):
            return number_of(token)
        if token := self.take("name"):
            return KEYWORDS.get(token.text.lower(), Name(token.text, token.location))
        raise PatternError(f"expected {self.expected}, but {self.next} came", self.next.location)


def read_number(text: str) -> int | float:
    """An int if it is written as one, else a float.

    Raises:
        ValueError: it is no number, not finite, or so long that Python itself would refuse it.
    """
    if len(text) > 30:
        raise ValueError("a number of more than 30 characters")
    number = int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)
    if not math.isfinite(number):
        raise ValueError("the number is too large")
    return number


def number_of(token: Token) -> int | float:
    """The value of a number.

    Raises:
        PatternError: it is too long or too large.
    """
    try:
        return read_number(token.text)
    except ValueError as error:
        raise PatternError(str(error), token.location) from None
