"""The pattern language, first half: text -> tree.

    INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*K -> FC

Notable choices:
- A chain is steps joined by `->`; a step may be a group `[ ... ]`, repeated `*n`, optional `?`, or a fork
  `concat{ a | b }` / `add{ a | b }`. Line breaks mean nothing and `#` comments run to the end of the line.
- Names are read in any case and with or without underscores; aliases become the canonical name while parsing.
- `parse` raises `PatternError` and nothing else. No torch here: a pattern can be checked anywhere.

The tree itself is in `tree.py`. What names mean (variables, repetition, blocks) is decided in `expand.py`; what layers
they become in `steps.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

from convline.errors import nearest
from convline.places import PatternError, Place
from convline.tree import Argument, Chain, Fork, Group, Name, Node, Optional, Product, Repeat, Step, Value
from convline.units import ALIASES, CANONICAL, UNITS, spelled

FORKS = ("add", "concat")
WORDS: dict[str, bool | str] = {"true": True, "false": False, "same": "same", "valid": "valid"}
DEEPEST = 40  # nested brackets; far beyond any network, and well inside Python's own recursion limit


@dataclass(frozen=True)
class _Token:
    kind: str  # "name", "number", "end", or the sign itself
    text: str
    place: Place

    def __str__(self) -> str:
        return "the end of the text" if self.kind == "end" else f"'{self.text}'"


_LEXEME = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)
      | (?P<number>-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
      | (?P<sign>->|[\[\](){}|,*?=])""",
    re.VERBOSE,
)


def _tokens(text: str, source: str) -> list[_Token]:
    tokens, offset = [], 0
    while offset < len(text):
        place = Place(text, offset, source)
        lexeme = _LEXEME.match(text, offset)
        if lexeme is None:
            raise PatternError(f"{text[offset]!r} is no part of the language; steps are joined by '->'", place)
        offset = lexeme.end()
        if lexeme.lastgroup != "blank":
            kind = lexeme.group() if lexeme.lastgroup == "sign" else str(lexeme.lastgroup)
            tokens.append(_Token(kind, lexeme.group(), place))
    return [*tokens, _Token("end", "", Place(text, len(text.rstrip()), source))]


class _Parser:
    """Recursive descent, one method per rule of the grammar."""

    def __init__(self, text: str, blocks: Collection[str], source: str) -> None:
        self.tokens = _tokens(text, source)
        self.blocks = {spelled(block): block for block in blocks}
        self.index = 0
        self.depth = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.index]

    def take(self, kind: str) -> _Token | None:
        """The next token if it is of this kind, else None."""
        if self.next.kind != kind:
            return None
        self.index += 1
        return self.tokens[self.index - 1]

    def network(self) -> Chain:
        """["INPUT" "->"] chain end"""
        if self.next.kind == "end":
            raise PatternError("the text is empty; type steps such as CONV(32) -> RELU -> POOL -> FC", self.next.place)
        if self.next.text.lower() == "input":
            self.index += 1
            if not self.take("->"):
                raise PatternError(
                    f"INPUT is followed by {self.next}, but '->' and a step must follow", self.next.place
                )
        chain = self.chain()
        if self.next.kind in ("]", "}", ")"):
            raise PatternError(
                f"this '{self.next.text}' closes nothing; take it out or open it before", self.next.place
            )
        if self.next.kind != "end":
            raise PatternError(f"{self.next} follows a finished step; join steps by '->'", self.next.place)
        return chain

    def chain(self) -> Chain:
        """node ("->" node)*"""
        nodes = [self.node()]
        while self.take("->"):
            nodes.append(self.node())
        return Chain(tuple(nodes))

    def node(self) -> Node:
        """(step | group | fork) ["*" count] ["?" [name]], the last two in either order"""
        node: Node = self.group() if self.next.kind == "[" else self.step_or_fork()
        marks: set[str] = set()
        while self.next.kind in ("*", "?"):
            mark = self.tokens[self.index]
            if mark.kind in marks:
                raise PatternError(f"a second '{mark.kind}' on the same step; one is enough", mark.place)
            marks.add(mark.kind)
            self.index += 1
            node = self.repeat(node, mark) if mark.kind == "*" else self.optional(node, mark)
        return node

    def group(self) -> Group:
        """ "[" chain "]" """
        opening = self.tokens[self.index]
        return Group(self.enclosed("]")[0], opening.place)

    def enclosed(self, closing: str) -> list[Chain]:
        """opening chain ("|" chain)* closing; only a fork's braces may hold more than one chain"""
        opening = self.tokens[self.index]
        self.index += 1
        self.depth += 1
        if self.depth > DEEPEST:
            raise PatternError(f"brackets are nested more than {DEEPEST} deep", opening.place)
        chains = [self.chain()]
        while closing == "}" and self.take("|"):
            chains.append(self.chain())
        if not self.take(closing):
            self.unclosed(opening, closing)
        self.depth -= 1
        return chains

    def unclosed(self, opening: _Token, closing: str) -> NoReturn:
        """Point at the bracket that is still open, or at what stands where it should be closed."""
        if self.next.kind == "end":
            raise PatternError(f"this '{opening.text}' is never closed; add '{closing}'", opening.place)
        raise PatternError(f"expected '->' or '{closing}', but {self.next} came", self.next.place)

    def step_or_fork(self) -> Step | Fork:
        """name ["(" arguments ")"] | ("add" | "concat") "{" chain ("|" chain)* "}\""""
        token = self.take("name")
        if token is None:
            self.no_step()
        name = token.text.lower()
        if self.next.kind == "{":
            return self.fork(name, token)
        if name == "input":
            raise PatternError("INPUT can only stand at the very beginning; take it out here", token.place)
        if name in FORKS:
            raise PatternError(f"{name} needs branches: {name}{{ CONV | identity }}", token.place)
        known = {**self.blocks, **{key: key for key in CANONICAL}}
        if spelled(name) not in known:
            near = nearest(name, [*self.blocks.values(), *UNITS, *ALIASES])
            raise PatternError(f"there is no unit or block '{token.text}'{near}", token.place)
        step = self.blocks.get(spelled(name)) or CANONICAL[spelled(name)]
        return Step(step, self.arguments() if self.next.kind == "(" else (), token.place)

    def no_step(self) -> NoReturn:
        """Say why no step can begin here."""
        came, before = self.next, self.tokens[self.index - 1] if self.index else None
        if before is not None and before.kind in ("[", "{", "|") and came.kind in ("]", "}", "|"):
            raise PatternError(
                f"nothing stands between '{before.text}' and {came}; type a step or identity", came.place
            )
        raise PatternError(f"expected a step such as CONV(32) or a group [ ... ], but {came} came", came.place)

    def fork(self, name: str, token: _Token) -> Fork:
        """("add" | "concat") "{" chain ("|" chain)* "}\""""
        if name not in FORKS:
            raise PatternError(
                f"'{token.text}' takes no branches{nearest(name, FORKS)}; only add and concat do", token.place
            )
        branches = self.enclosed("}")
        if len(branches) < 2:
            raise PatternError(f"{name} has one branch, but joins two or more: {name}{{ a | b }}", token.place)
        return Fork(name, tuple(branches), token.place)

    def repeat(self, body: Node, mark: _Token) -> Repeat:
        """The count after `*`."""
        token = self.take("number") or self.take("name")
        if token is None:
            raise PatternError(f"expected a count after '*', such as *2 or *N, but {self.next} came", self.next.place)
        count = Name(token.text, token.place) if token.kind == "name" else _number(token)
        if isinstance(count, float) or (isinstance(count, int) and count < 0):
            raise PatternError(f"{token} is no count; type a whole number of at least 0", token.place)
        return Repeat(body, count, mark.place)

    def optional(self, body: Node, mark: _Token) -> Optional:
        """The variable after `?`, or the step's own name."""
        token = self.take("name")
        if token is not None:
            return Optional(body, Name(token.text, token.place), mark.place)
        step = body.body if isinstance(body, Repeat) else body
        if not isinstance(step, Step):
            raise PatternError("an optional group needs the name of its variable: [ ... ]?deep", mark.place)
        spelling = step.place.text[step.place.offset :]
        written = re.match(r"\w+", spelling)
        assert written is not None
        return Optional(body, Name(written.group().lower(), step.place), mark.place)

    def arguments(self) -> tuple[Argument, ...]:
        """ "(" [argument ("," argument)*] ")" """
        opening = self.tokens[self.index]
        self.index += 1
        found: list[Argument] = []
        while not self.take(")"):
            if found and not self.take(","):
                if self.next.kind == "end":
                    raise PatternError("this '(' is never closed; add ')'", opening.place)
                raise PatternError(f"expected ',' or ')', but {self.next} came", self.next.place)
            found.append(self.argument())
            if found[-1].name is None and any(earlier.name for earlier in found):
                raise PatternError("an argument by position cannot follow one by name; swap them", found[-1].place)
        return tuple(found)

    def argument(self) -> Argument:
        """[name "="] value"""
        start = self.next
        if start.kind == "name" and self.tokens[self.index + 1].kind == "=":
            self.index += 2
            return Argument(start.text.lower(), self.value(), start.place)
        return Argument(None, self.value(), start.place)

    def value(self) -> Value:
        """factor ("*" factor)*"""
        start = self.next
        factors = [self.factor()]
        while self.take("*"):
            factors.append(self.factor())
        if len(factors) == 1:
            return factors[0]
        if any(isinstance(factor, bool | str) for factor in factors):
            raise PatternError("only numbers and variables can be multiplied", start.place)
        return Product(tuple(factors), start.place)  # type: ignore[arg-type]

    def factor(self) -> int | float | bool | str | Name:
        """A number, true, false, same, valid or a variable."""
        if token := self.take("number"):
            return _number(token)
        if token := self.take("name"):
            return WORDS.get(token.text.lower(), Name(token.text, token.place))
        raise PatternError(f"expected a number or a variable, but {self.next} came", self.next.place)


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


def _number(token: _Token) -> int | float:
    try:
        return read_number(token.text)
    except ValueError as error:
        raise PatternError(str(error), token.place) from None


def parse(text: str, blocks: Collection[str] = (), source: str = "pattern") -> Chain:
    """Read a pattern.

    Args:
        text: the pattern; see `docs/patterns.md`.
        blocks: names, besides the units, that a step may have.
        source: what error messages call the text.
    Raises:
        PatternError: whatever is wrong with the text, and nothing else.
    """
    return _Parser(text, blocks, source).network()
