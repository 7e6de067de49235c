"""Parse the augmentations of a config: a list such as `[flip, crop(4), "affine(15, translate=0.1)"]`, or one text.

The syntax of an operation is the syntax of patterns: names in any case and without underscores, arguments by position
or by name. Operations are joined by commas or by `->`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convline.config.options import groups
from convline.data.augment.base import ARGUMENT_TYPES, Augmentation
from convline.data.augment.operations import ALIASES, AUGMENTATIONS, CANONICAL
from convline.errors import UserError
from convline.formatting import nearest
from convline.pattern.arguments import CallParser, bind, normalized
from convline.pattern.lexer import Token
from convline.pattern.source import PatternError, SourceLocation
from convline.pattern.syntax_tree import Call, Name, Product, Value

SOURCE = "data.augment"


@dataclass(frozen=True)
class _Operation:
    """Hold one parsed operation with all its arguments and its location in the text."""

    kind: type[Augmentation]
    name: str
    arguments: dict[str, Any]
    location: SourceLocation


def parse_augment(spec: Any) -> tuple[Augmentation, ...]:
    """Parse a list of texts, or one text, into operations.

    Args:
        spec: `["flip", "crop(4)"]` or `"flip, crop(4)"`; no operation if empty or None.
    Raises:
        PatternError: a name or an argument is invalid; the error shows its location.
        UserError: `spec` is neither text nor a list of texts.
    """
    operations = []
    for call in _Parser(_join(spec), SOURCE).calls():
        kind = AUGMENTATIONS[call.name]
        operations.append(
            _Operation(kind, call.name, bind(call, kind.parameters(), ARGUMENT_TYPES, _value), call.location)
        )
    for operation in operations:
        _check_effect(operation)
    _check_together(operations)
    return tuple(operation.kind(**operation.arguments) for operation in operations)


def _join(spec: Any) -> str:
    """Join a list of operations into one text, in which an error message can show a location."""
    if spec is None:
        return ""
    if isinstance(spec, str):
        return spec
    if not isinstance(spec, Sequence):
        raise UserError(f"{SOURCE} is a list of operations, but {spec!r} came.\n  Type: '{SOURCE}=[flip,crop(4)]'")
    for element in spec:
        if not isinstance(element, str) or "#" in element:  # a comment would hide the elements after it
            raise UserError(
                f"{SOURCE} is a list of operations such as flip or crop(4), but {element!r} is in it.\n"
                f"  Type: '{SOURCE}=[flip,crop(4)]'"
            )
    return ", ".join(spec)


class _Parser(CallParser):
    """Parse the grammar `[step (("," | "->") step)*] end`, with `call` for each step."""

    expected = "a number or a word"

    def calls(self) -> list[Call]:
        calls: list[Call] = []
        while self.next.kind != "end":
            if calls and not (self.take(",") or self.take("->")):
                raise PatternError(f"expected ',' or '->', but {self.next} came", self.next.location)
            calls.append(self.call())
        return calls

    def call(self) -> Call:
        """Parse `name ["(" arguments ")"]`."""
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
    near = nearest(token.text.lower(), [*AUGMENTATIONS, *ALIASES])
    return f"there is no augmentation '{token.text}'{near}; there are {', '.join(AUGMENTATIONS)}"


def _value(value: Value, location: SourceLocation) -> Any:
    if isinstance(value, Product):
        raise PatternError(f"{value} is no number; type the product itself", location)
    return value.name.lower() if isinstance(value, Name) else value


def _check_effect(operation: _Operation) -> None:
    given = operation.arguments
    if given and not any(given.values()):
        raise PatternError(
            f"{operation.name} changes nothing while each of its strengths is 0; type for example "
            f"{operation.name}({next(iter(given))}={'0.2' if operation.name == 'jitter' else '10'})",
            operation.location,
        )
    if operation.name == "erase" and given["min_area"] > given["max_area"]:
        raise PatternError(
            f"min_area={given['min_area']} is larger than max_area={given['max_area']}; swap them", operation.location
        )


def _check_together(operations: list[_Operation]) -> None:
    mixers = [operation for operation in operations if operation.kind.mixes]
    for operation in mixers[1:]:
        raise PatternError(f"{mixers[0].name} mixes the labels already; take one of the two", operation.location)
    for operation in mixers:
        if operation is not operations[-1]:
            raise PatternError(
                f"{operation.name} mixes images that are otherwise finished; put it last", operation.location
            )
    mirrors = [operation for operation in operations if operation.kind.mirrors]
    for operation in mirrors[1:]:
        raise PatternError(
            f"{mirrors[0].name} mirrors already, and twice is no mirroring; take one", operation.location
        )
