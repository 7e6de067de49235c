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

import re
from collections.abc import Collection
from typing import NoReturn

from convline.formatting import nearest
from convline.pattern.arguments import normalized
from convline.pattern.lexer import CallParser, Token, number_of
from convline.pattern.source import PatternError
from convline.pattern.syntax_tree import Call, Chain, Fork, Group, Name, Node, Optional, Repeat
from convline.pattern.vocabulary import ALIASES, CANONICAL, UNITS

FORKS = ("add", "concat")
MAX_NESTING = 40  # nested brackets; far beyond any network, and well inside Python's own recursion limit


class _Parser(CallParser):
    """Recursive descent, one method per rule of the grammar."""

    def __init__(self, text: str, blocks: Collection[str], source: str) -> None:
        super().__init__(text, source)
        self.blocks = {normalized(block): block for block in blocks}
        self.depth = 0

    def network(self) -> Chain:
        """["INPUT" "->"] chain end"""
        if self.next.kind == "end":
            raise PatternError(
                "the text is empty; type steps such as CONV(32) -> RELU -> POOL -> FC", self.next.location
            )
        if self.next.text.lower() == "input":
            self.index += 1
            if not self.take("->"):
                raise PatternError(
                    f"INPUT is followed by {self.next}, but '->' and a step must follow", self.next.location
                )
        chain = self.chain()
        if self.next.kind in ("]", "}", ")"):
            raise PatternError(
                f"this '{self.next.text}' closes nothing; take it out or open it before", self.next.location
            )
        if self.next.kind != "end":
            raise PatternError(f"{self.next} follows a finished step; join steps by '->'", self.next.location)
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
                raise PatternError(f"a second '{mark.kind}' on the same step; one is enough", mark.location)
            marks.add(mark.kind)
            self.index += 1
            node = self.repeat(node, mark) if mark.kind == "*" else self.optional(node, mark)
        return node

    def group(self) -> Group:
        """ "[" chain "]" """
        opening = self.tokens[self.index]
        return Group(self.enclosed("]")[0], opening.location)

    def enclosed(self, closing: str) -> list[Chain]:
        """opening chain ("|" chain)* closing; only a fork's braces may hold more than one chain"""
        opening = self.tokens[self.index]
        self.index += 1
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise PatternError(f"brackets are nested more than {MAX_NESTING} deep", opening.location)
        chains = [self.chain()]
        while closing == "}" and self.take("|"):
            chains.append(self.chain())
        if not self.take(closing):
            self.unclosed(opening, closing)
        self.depth -= 1
        return chains

    def unclosed(self, opening: Token, closing: str) -> NoReturn:
        """Point at the bracket that is still open, or at what stands where it should be closed."""
        if self.next.kind == "end":
            raise PatternError(f"this '{opening.text}' is never closed; add '{closing}'", opening.location)
        raise PatternError(f"expected '->' or '{closing}', but {self.next} came", self.next.location)

    def step_or_fork(self) -> Call | Fork:
        """name ["(" arguments ")"] | ("add" | "concat") "{" chain ("|" chain)* "}\""""
        token = self.take("name")
        if token is None:
            self.no_step()
        name = token.text.lower()
        if self.next.kind == "{":
            return self.fork(name, token)
        if name == "input":
            raise PatternError("INPUT can only stand at the very beginning; take it out here", token.location)
        if name in FORKS:
            raise PatternError(f"{name} needs branches: {name}{{ CONV | identity }}", token.location)
        known = {**self.blocks, **{key: key for key in CANONICAL}}
        if normalized(name) not in known:
            near = nearest(name, [*self.blocks.values(), *UNITS, *ALIASES])
            raise PatternError(f"there is no unit or block '{token.text}'{near}", token.location)
        step = self.blocks.get(normalized(name)) or CANONICAL[normalized(name)]
        return Call(step, self.arguments() if self.next.kind == "(" else (), token.location)

    def no_step(self) -> NoReturn:
        """Say why no step can begin here."""
        came, before = self.next, self.tokens[self.index - 1] if self.index else None
        if before is not None and before.kind in ("[", "{", "|") and came.kind in ("]", "}", "|"):
            raise PatternError(
                f"nothing stands between '{before.text}' and {came}; type a step or identity", came.location
            )
        raise PatternError(f"expected a step such as CONV(32) or a group [ ... ], but {came} came", came.location)

    def fork(self, name: str, token: Token) -> Fork:
        """("add" | "concat") "{" chain ("|" chain)* "}\""""
        if name not in FORKS:
            raise PatternError(
                f"'{token.text}' takes no branches{nearest(name, FORKS)}; only add and concat do", token.location
            )
        branches = self.enclosed("}")
        if len(branches) < 2:
            raise PatternError(f"{name} has one branch, but joins two or more: {name}{{ a | b }}", token.location)
        return Fork(name, tuple(branches), token.location)

    def repeat(self, body: Node, mark: Token) -> Repeat:
        """The count after `*`."""
        token = self.take("number") or self.take("name")
        if token is None:
            raise PatternError(
                f"expected a count after '*', such as *2 or *N, but {self.next} came", self.next.location
            )
        count = Name(token.text, token.location) if token.kind == "name" else number_of(token)
        if isinstance(count, float) or (isinstance(count, int) and count < 0):
            raise PatternError(f"{token} is no count; type a whole number of at least 0", token.location)
        return Repeat(body, count, mark.location)

    def optional(self, body: Node, mark: Token) -> Optional:
        """The variable after `?`, or the step's own name."""
        token = self.take("name")
        if token is not None:
            return Optional(body, Name(token.text, token.location), mark.location)
        step = body.body if isinstance(body, Repeat) else body
        if not isinstance(step, Call):
            raise PatternError("an optional group needs the name of its variable: [ ... ]?deep", mark.location)
        spelling = step.location.text[step.location.offset :]
        written = re.match(r"\w+", spelling)
        assert written is not None
        return Optional(body, Name(written.group().lower(), step.location), mark.location)


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
