"""What a word of the language may be given, and how what it is given is bound to that. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from convline.formatting import nearest
from convline.pattern.source import PatternError, SourceLocation
from convline.pattern.syntax_tree import Call, Value

REQUIRED = object()  # marks an argument without a default

ArgumentTypes = Mapping[str, tuple[Callable[[Any], bool], str]]  # kind -> (does the value fit, what is expected)


@dataclass(frozen=True)
class Parameter:
    """One argument of a word.

    Args:
        name: as in `stride=2`; the order of a word's parameters is the order by position.
        kind: a key of the `ArgumentTypes` that belong to the word.
        default: None where the program decides (the width of `fc`).
    """

    name: str
    kind: str
    default: Any = REQUIRED


def normalized(name: str) -> str:
    """The form in which names are compared: lower case, without underscores."""
    return name.lower().replace("_", "")


def whole(low: int) -> Callable[[Any], bool]:
    """Is it a whole number of at least `low` and below 2^31?"""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value < 2**31


def real(low: float, high: float) -> Callable[[Any], bool]:
    """Is it a number of at least `low` and below `high`?"""
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value < high


def bind(
    step: Call,
    parameters: tuple[Parameter, ...],
    kinds: ArgumentTypes,
    value_of: Callable[[Value, SourceLocation], Any],
    error: Callable[[str, SourceLocation], PatternError] = PatternError,
) -> dict[str, Any]:
    """The step's arguments by name, each checked, defaults filled in.

    Args:
        step: the word as it was used.
        parameters: what it takes.
        kinds: which values fit.
        value_of: what a value that stands in the text means.
        error: makes the error to raise.
    """
    names = [parameter.name for parameter in parameters]
    form = f"{step.name}({', '.join(names)})"
    canonical = {normalized(name): name for name in names}
    given: dict[str, Any] = {}
    for position, argument in enumerate(step.arguments):
        if argument.name is None and position >= len(names):
            raise error(f"too many arguments; the form is {form}", argument.location)
        name = names[position] if argument.name is None else argument.name
        name = name if name in names else canonical.get(normalized(name), name)
        if name not in names:
            raise error(f"'{name}' is no argument of {form}{nearest(name, names)}", argument.location)
        if name in given:
            raise error(f"'{name}' is given twice; the form is {form}", argument.location)
        given[name] = value_of(argument.value, argument.location)
        fits, expected = kinds[parameters[names.index(name)].kind]
        if not fits(given[name]):
            raise error(f"{name} must be {expected}, but is {given[name]!r}", argument.location)
    for parameter in parameters:
        if parameter.default is REQUIRED and parameter.name not in given:
            raise error(f"'{parameter.name}' is missing; the form is {form}", step.location)
        given.setdefault(parameter.name, parameter.default)
    return given
