"""Parse a pattern: the text becomes a syntax tree.

    INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*K -> FC

Notable choices:
- A chain is a sequence of steps joined by `->`. A step is a unit, a block, a group `[ ... ]` or a fork
  `concat{ a | b }` / `add{ a | b }`; it may be repeated `*n` or optional `?`. A line break counts as a space, and a
  comment runs from `#` to the end of the line.
- Names may be written in any case and with or without underscores. The parser replaces an alias by its unit.
- `parse` raises no other error than `PatternError`. It needs no torch, so that a pattern can be checked anywhere.

`syntax_tree.py` holds the classes of the tree. `expand.py` resolves variables, repetitions and blocks, and
`network/layer_builders.py` builds the layers.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NoReturn

from convline.formatting import nearest
from convline.pattern.arguments import CallParser, normalized
from convline.pattern.lexer import Token, number_of
from convline.pattern.source import PatternError
from convline.pattern.syntax_tree import Call, Chain, Fork, Group, Name, Node, Optional, Repeat
from convline.pattern.vocabulary import ALIASES, CANONICAL, UNITS

FORKS = ("add", "concat")
MAX_NESTING = 40  # nested brackets: more than any network needs, and well below Python's recursion limit


class _Parser(CallParser):
    """Parse by recursive descent, with one method per rule of the grammar, which is the method's docstring."""

    def __init__(self, text: str, blocks: Collection[str], source: str) -> None:
        super().__init__(text, source)
        self.blocks = {normalized(block): block for block in blocks}
        self.depth = 0

    def network(self) -> Chain:
        """Parse a whole text: `["INPUT" "->"] chain end`."""
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
        """Parse nodes in sequence: `node ("->" node)*`."""
        nodes = [self.node()]
        while self.take("->"):
            nodes.append(self.node())
        return Chain(tuple(nodes))

    def node(self) -> Node:
        """Parse a node: `(step | group | fork) ["*" count] ["?" [name]]`, the last two in either order."""
        node: Node = self.group() if self.next.kind == "[" else self.step_or_fork()
        marks: set[str] = set()  # the kinds of mark that this step has already
        while self.next.kind in ("*", "?"):
            mark = self.tokens[self.index]
            if mark.kind in marks:
                raise PatternError(f"a second '{mark.kind}' on the same step; one is enough", mark.location)
            marks.add(mark.kind)
            self.index += 1
            node = self.repeat(node, mark) if mark.kind == "*" else self.optional(node, mark)
        return node

    def group(self) -> Group:
        """Parse a group: `"[" chain "]"`."""
        opening = self.tokens[self.index]
        return Group(self.enclosed("]")[0], opening.location)

    def enclosed(self, closing: str) -> list[Chain]:
        """Parse what brackets enclose: `chain ("|" chain)*`; only the braces of a fork may hold more than one chain."""
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
        """Raise an error that shows the bracket that is still open, or the token in place of the closing one."""
        if self.next.kind == "end":
            raise PatternError(f"this '{opening.text}' is never closed; add '{closing}'", opening.location)
        raise PatternError(f"expected '->' or '{closing}', but {self.next} came", self.next.location)

    def step_or_fork(self) -> Call | Fork:
        """Parse a step, `name ["(" arguments ")"]`, or a fork."""
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
        """Raise an error that says why no step can begin at the next token."""
        token, before = self.next, self.tokens[self.index - 1] if self.index else None
        if before is not None and before.kind in ("[", "{", "|") and token.kind in ("]", "}", "|"):
            raise PatternError(
                f"nothing stands between '{before.text}' and {token}; type a step or identity", token.location
            )
        raise PatternError(f"expected a step such as CONV(32) or a group [ ... ], but {token} came", token.location)

    def fork(self, name: str, token: Token) -> Fork:
        """Parse a fork: `("add" | "concat") "{" chain ("|" chain)* "}"`."""
        if name not in FORKS:
            raise PatternError(
                f"'{token.text}' takes no branches{nearest(name, FORKS)}; only add and concat do", token.location
            )
        branches = self.enclosed("}")
        if len(branches) < 2:
            raise PatternError(f"{name} has one branch, but joins two or more: {name}{{ a | b }}", token.location)
        return Fork(name, tuple(branches), token.location)

    def repeat(self, body: Node, mark: Token) -> Repeat:
        """Parse the count after "*": a number, or the name of a variable."""
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
        """Parse what follows "?": the name of a variable or nothing, which stands for the step's own name."""
        token = self.take("name")
        if token is not None:
            return Optional(body, Name(token.text, token.location), mark.location)
        step = body.body if isinstance(body, Repeat) else body
        if not isinstance(step, Call):
            raise PatternError("an optional group needs the name of its variable: [ ... ]?deep", mark.location)
        # the name as it is written: the tree holds the unit of an alias, but the user sets the variable `maxpool`
        written_name = re.match(r"\w+", step.location.text[step.location.offset :])
        assert written_name is not None
        return Optional(body, Name(written_name.group().lower(), step.location), mark.location)


def parse(text: str, blocks: Collection[str] = (), source: str = "pattern") -> Chain:
    """Parse a pattern, or the text of a block.

    Args:
        text: the pattern; `docs/patterns.md` describes the language.
        blocks: names of blocks, which a step may use like a unit.
        source: the name of the text in error messages.
    Raises:
        PatternError: the text is wrong. No other error is raised.
    """
    return _Parser(text, blocks, source).network()
