"""Define the syntax tree of a pattern. `str` of a node is its canonical text; parsing that text gives an equal tree.

Every node holds its location in the text, for later errors. Two trees with different locations may be equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass

from convline.pattern.source import SourceLocation


@dataclass(frozen=True)
class Name:
    """Name a variable, which has a value or a count."""

    name: str
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Product:
    """Multiply numbers and variables: `4*c`."""

    factors: tuple[int | float | Name, ...]
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return "*".join(_literal(factor) for factor in self.factors)


Value = int | float | bool | str | Name | Product


@dataclass(frozen=True)
class Argument:
    """Give a value by position, `64` (name is None), or by name, `stride=2`."""

    name: str | None
    value: Value
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return _literal(self.value) if self.name is None else f"{self.name}={_literal(self.value)}"


@dataclass(frozen=True)
class Call:
    """Use a unit or a block once: `conv(64, 3, stride=2)`."""

    name: str
    arguments: tuple[Argument, ...]
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.name + (f"({', '.join(map(str, self.arguments))})" if self.arguments else "")


@dataclass(frozen=True)
class Chain:
    """Apply nodes one after another: `a -> b`."""

    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        return " -> ".join(map(str, self.nodes))


@dataclass(frozen=True)
class Group:
    """Enclose a chain in brackets: `[a -> b]`."""

    body: Chain
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"[{self.body}]"


@dataclass(frozen=True)
class Repeat:
    """Repeat a node: `body*count`."""

    body: Node
    count: int | Name
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.body}*{self.count}"


@dataclass(frozen=True)
class Optional:
    """Keep a node only if a variable is true: `body?variable`. `pool?` stands for `pool?pool`."""

    body: Node
    variable: Name
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        own = isinstance(self.body, Call) and self.body.name == self.variable.name
        return f"{self.body}?" if own else f"{self.body}?{self.variable}"


@dataclass(frozen=True)
class Fork:
    """Pass the same input through every branch, and join their outputs: `add{ a | b }` or `concat{ a | b }`."""

    kind: str
    branches: tuple[Chain, ...]
    location: SourceLocation = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.kind}{{ {' | '.join(map(str, self.branches))} }}"


Node = Call | Group | Repeat | Optional | Fork


def _literal(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def names_in(node: object) -> Iterator[str]:
    """Yield the name of every variable in a tree, in a tuple of nodes or in a value."""
    if isinstance(node, Name):
        yield node.name
    elif isinstance(node, tuple):
        for element in node:
            yield from names_in(element)
    elif is_dataclass(node):
        for attribute in fields(node):
            yield from names_in(getattr(node, attribute.name))
