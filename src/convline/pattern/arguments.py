"""Parse the arguments of a call, and bind them to the parameters of a unit, a block or an augmentation.

Patterns and augmentations share this syntax. This module needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from convline.formatting import nearest
from convline.pattern.lexer import KEYWORDS, Token, number_of, tokens
from convline.pattern.source import PatternError, SourceLocation
from convline.pattern.syntax_tree import Argument, Call, Name, Product, Value

REQUIRED = object()  # the default of a parameter that must be given

# By the kind of a parameter: a function that tells whether a value is allowed, and a text that says which values are.
ArgumentTypes = Mapping[str, tuple[Callable[[Any], bool], str]]


class CallParser:
    """Parse the arguments of calls such as `name(64, 3, stride=2, pad=same)`, by recursive descent.

    A subclass adds the rules for the text around the calls. The docstring of a rule is its grammar.

    Args:
        text: the text.
        source: the name of the text in error messages.
    """

    expected = "a number or a variable"  # what error messages ask for where a value is missing

    def __init__(self, text: str, source: str) -> None:
        self.tokens = tokens(text, source)
        self.index = 0

    @property
    def next(self) -> Token:
        """Return the first token that has not been taken yet."""
        return self.tokens[self.index]

    def take(self, kind: str) -> Token | None:
        """Take and return the next token if it is of this kind; else return None."""
        if self.next.kind != kind:
            return None
        self.index += 1
        return self.tokens[self.index - 1]

    def arguments(self) -> tuple[Argument, ...]:
        """ "(" [argument ("," argument)*] ")" """
        opening = self.tokens[self.index]
        self.index += 1
        arguments: list[Argument] = []
        while not self.take(")"):
            if arguments and not self.take(","):
                if self.next.kind == "end":
                    raise PatternError("this '(' is never closed; add ')'", opening.location)
                raise PatternError(f"expected ',' or ')', but {self.next} came", self.next.location)
            argument = self.argument()
            if argument.name is None and any(earlier.name for earlier in arguments):
                raise PatternError("an argument by position cannot follow one by name; swap them", argument.location)
            arguments.append(argument)
        return tuple(arguments)

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
        """number | "true" | "false" | "same" | "valid" | variable"""
        if token := self.take("number"):
            return number_of(token)
        if token := self.take("name"):
            return KEYWORDS.get(token.text.lower(), Name(token.text, token.location))
        raise PatternError(f"expected {self.expected}, but {self.next} came", self.next.location)


@dataclass(frozen=True)
class Parameter:
    """Describe one parameter of a unit, a block or an augmentation.

    Args:
        name: the name, as in `stride=2`. Arguments without a name follow the order of the parameters.
        kind: a key of the `ArgumentTypes` that `bind` gets.
        default: the value if no argument is given; None if the program chooses it, as the width of `fc`.
    """

    name: str
    kind: str
    default: Any = REQUIRED


def normalized(name: str) -> str:
    """Return a name in the form in which names are compared: in lower case and without underscores."""
    return name.lower().replace("_", "")


def whole(low: int) -> Callable[[Any], bool]:
    """Make a function that tells whether a value is a whole number of at least `low` and below 2^31."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value < 2**31


def real(low: float, high: float) -> Callable[[Any], bool]:
    """Make a function that tells whether a value is a number of at least `low` and below `high`."""
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value < high


def bind(
    call: Call,
    parameters: tuple[Parameter, ...],
    kinds: ArgumentTypes,
    value_of: Callable[[Value, SourceLocation], Any],
    error: Callable[[str, SourceLocation], PatternError] = PatternError,
) -> dict[str, Any]:
    """Bind the arguments of a call to parameters, check their values, and fill in the defaults.

    Args:
        call: the call.
        parameters: the parameters, in the order by position.
        kinds: the allowed values of each kind of parameter.
        value_of: evaluates a value of the text, such as a variable.
        error: makes the error to raise.
    Returns:
        A value for each parameter, by its name.
    Raises:
        PatternError: an argument is unknown, missing, given twice, or has a value that is not allowed.
    """
    names = [parameter.name for parameter in parameters]
    form = f"{call.name}({', '.join(names)})"
    canonical = {normalized(name): name for name in names}
    bound: dict[str, Any] = {}
    for position, argument in enumerate(call.arguments):
        if argument.name is None and position >= len(names):
            raise error(f"too many arguments; the form is {form}", argument.location)
        name = names[position] if argument.name is None else argument.name
        name = name if name in names else canonical.get(normalized(name), name)
        if name not in names:
            raise error(f"'{name}' is no argument of {form}{nearest(name, names)}", argument.location)
        if name in bound:
            raise error(f"'{name}' is given twice; the form is {form}", argument.location)
        bound[name] = value_of(argument.value, argument.location)
        is_allowed, expected = kinds[parameters[names.index(name)].kind]
        if not is_allowed(bound[name]):
            raise error(f"{name} must be {expected}, but is {bound[name]!r}", argument.location)
    for parameter in parameters:
        if parameter.default is REQUIRED and parameter.name not in bound:
            raise error(f"'{parameter.name}' is missing; the form is {form}", call.location)
        bound.setdefault(parameter.name, parameter.default)
    return bound
