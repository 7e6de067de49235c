"""The tree that a pattern is read into. `str` of any node is its canonical text; parsing that gives an equal tree.

Every node knows its location in the text, so that later stages can point there; locations take no part in equality.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass

from convline.pattern.source import SourceLocation


@dataclass(frozen=True)
class Name:
    """A variable that stands for a value or a count."""

    name: str
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Product:
    """`4*c`: numbers and variables multiplied."""

    factors: tuple[int | float | Name, ...]
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return "*".join(_literal(factor) for factor in self.factors)


Value = int | float | bool | str | Name | Product


@dataclass(frozen=True)
class Argument:
    """`64` (name is None) or `stride=2`."""

    name: str | None
    value: Value
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return _literal(self.value) if self.name is None else f"{self.name}={_literal(self.value)}"


@dataclass(frozen=True)
class Call:
    """One unit or one use of a block, e.g. `conv(64, 3, stride=2)`."""

    name: str
    arguments: tuple[Argument, ...]
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.name + (f"({', '.join(map(str, self.arguments))})" if self.arguments else "")


@dataclass(frozen=True)
class Chain:
    """Steps one after another."""

    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        return " -> ".join(map(str, self.nodes))


@dataclass(frozen=True)
class Group:
    """`[ chain ]`."""

    body: Chain
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"[{self.body}]"


@dataclass(frozen=True)
class Repeat:
    """`body*count`."""

    body: Node
    count: int | Name
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.body}*{self.count}"


@dataclass(frozen=True)
class Optional:
    """`body?`: there if the variable is true. A step names its own variable, `pool?`; a group is told, `[...]?deep`."""

    body: Node
    variable: Name
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        own = isinstance(self.body, Call) and self.body.name == self.variable.name
        return f"{self.body}?" if own else f"{self.body}?{self.variable}"


@dataclass(frozen=True)
class Fork:
    """`add{ a | b }` or `concat{ a | b }`: the same input goes through every branch."""

    kind: str
    branches: tuple[Chain, ...]
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.kind}{{ {' | '.join(map(str, self.branches))} }}"


Node = Call | Group | Repeat | Optional | Fork


def _literal(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def names_in(part: object) -> Iterator[str]:
    """Every variable that a part of a tree names."""
    if isinstance(part, Name):
        yield part.name
    elif isinstance(part, tuple):
        for element in part:
            yield from names_in(element)
    elif is_dataclass(part):
        for attribute in fields(part):
            yield from names_in(getattr(part, attribute.name))
