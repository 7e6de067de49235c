"""Augmentations as the user types them, `[flip, crop(4), "affine(15, translate=0.1)"]` or one text -> checked words.

The syntax of a step is that of patterns: names in any case and without underscores, arguments by position or by name.
Steps are joined by commas or by `->`. No torch here: a text can be checked before anything is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convline.config.compose import groups
from convline.data.augment.vocabulary import ALIASES, CANONICAL, KINDS, OPERATIONS
from convline.errors import UserError
from convline.formatting import nearest
from convline.pattern.arguments import bind, normalized
from convline.pattern.lexer import CallParser, Token
from convline.pattern.source import PatternError, SourceLocation
from convline.pattern.syntax_tree import Call, Name, Product, Value

SOURCE = "data.augment"


@dataclass(frozen=True)
class Use:
    """One operation with all its arguments."""

    name: str
    arguments: dict[str, Any]
    location: SourceLocation


def read_augment(spec: Any) -> list[Use]:
    """Read a list of texts, or one text.

    Args:
        spec: `["flip", "crop(4)"]` or `"flip, crop(4)"`; nothing at all if empty or None.
    Raises:
        PatternError: a word is wrong; shows where.
        UserError: it is neither text nor a list of texts.
    """
    uses = [
        Use(step.name, bind(step, OPERATIONS[step.name].parameters, KINDS, _value), step.location)
        for step in _Parser(_joined(spec), SOURCE).steps()
    ]
    for use in uses:
        _check_effect(use)
    _check_together(uses)
    return uses


def _joined(spec: Any) -> str:
    """The whole as one text, so that a place in it can be shown."""
    if spec is None:
        return ""
    if isinstance(spec, str):
        return spec
    if not isinstance(spec, Sequence):
        raise UserError(f"{SOURCE} is a list of operations, but {spec!r} came.\n  Type: '{SOURCE}=[flip,crop(4)]'")
    for element in spec:
        if not isinstance(element, str) or "#" in element:  # a comment would swallow the elements after it
            raise UserError(
                f"{SOURCE} is a list of operations such as flip or crop(4), but {element!r} is in it.\n"
                f"  Type: '{SOURCE}=[flip,crop(4)]'"
            )
    return ", ".join(spec)


class _Parser(CallParser):
    """[step (("," | "->") step)*] end"""

    expected = "a number or a word"

    def steps(self) -> list[Call]:
        found: list[Call] = []
        while self.next.kind != "end":
            if found and not (self.take(",") or self.take("->")):
                raise PatternError(f"expected ',' or '->', but {self.next} came", self.next.location)
            found.append(self.step())
        return found

    def step(self) -> Call:
        """name ["(" arguments ")"]"""
        token = self.take("name")
        if token is None:
            raise PatternError(
                f"expected an operation such as flip or crop(4), but {self.next} came", self.next.location
            )
        if normalized(token.text) not in CANONICAL:
            raise PatternError(_unknown(token), token.location)
        arguments = self.arguments() if self.next.kind == "(" else ()
        return Call(CANONICAL[normalized(token.text)], arguments, token.location)


def _unknown(token: Token) -> str:
    if token.text.lower() in groups().get("data/augment", []):
        return f"'{token.text}' is a preset; choose it with a slash: data/augment={token.text.lower()}"
    near = nearest(token.text.lower(), [*OPERATIONS, *ALIASES])
    return f"there is no augmentation '{token.text}'{near}; there are {', '.join(OPERATIONS)}"


def _value(value: Value, location: SourceLocation) -> Any:
    if isinstance(value, Product):
        raise PatternError(f"{value} is no number; type the product itself", location)
    return value.name.lower() if isinstance(value, Name) else value


def _check_effect(use: Use) -> None:
    given = use.arguments
    if given and not any(given.values()):
        raise PatternError(
            f"{use.name} changes nothing while each of its strengths is 0; type for example "
            f"{use.name}({next(iter(given))}={'0.2' if use.name == 'jitter' else '10'})",
            use.location,
        )
    if use.name == "erase" and given["min_area"] > given["max_area"]:
        raise PatternError(
            f"min_area={given['min_area']} is larger than max_area={given['max_area']}; swap them", use.location
        )


def _check_together(uses: list[Use]) -> None:
    mixers = [use for use in uses if OPERATIONS[use.name].mixes]
    for use in mixers[1:]:
        raise PatternError(f"{mixers[0].name} mixes the labels already; take one of the two", use.location)
    for use in mixers:
        if use is not uses[-1]:
            raise PatternError(f"{use.name} mixes images that are otherwise finished; put it last", use.location)
    mirrors = [use for use in uses if OPERATIONS[use.name].mirrors]
    for use in mirrors[1:]:
        raise PatternError(f"{mirrors[0].name} mirrors already, and twice is no mirroring; take one", use.location)
