"""Read named blocks with parameters, such as `basic(c, s=1)`, from a model's YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convline.pattern.arguments import REQUIRED, Parameter, normalized
from convline.pattern.lexer import KEYWORDS, read_number
from convline.pattern.parser import FORKS, parse
from convline.pattern.source import PatternError, SourceLocation
from convline.pattern.syntax_tree import Chain
from convline.pattern.vocabulary import CANONICAL

_HEADING = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*")
_PARAMETER = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:=\s*(\S+))?\s*")


@dataclass(frozen=True)
class Block:
    """Hold a named chain with parameters.

    Args:
        name: the name in lower case.
        parameters: the default of each parameter by its name; `REQUIRED` for a parameter without one.
        body: the syntax tree of its text.
    """

    name: str
    parameters: dict[str, Any]
    body: Chain

    def signature(self) -> tuple[Parameter, ...]:
        """Return the parameters in the form of a unit's. Their values are checked where the body uses them."""
        return tuple(Parameter(name, "any", default) for name, default in self.parameters.items())


def read_blocks(blocks: Mapping[str, str]) -> dict[str, Block]:
    """Parse the headings and texts of blocks, which may use each other in any order.

    Args:
        blocks: texts by heading, such as `{"basic(c, s=1)": "conv(c, 3, s) -> bn -> relu"}`.
    Returns:
        The blocks by name.
    Raises:
        PatternError: a heading or a text is wrong, or a name is used already.
    """
    headings = {heading: _heading(heading) for heading in blocks}
    names: dict[str, str] = {}
    for heading, (name, _) in headings.items():
        if normalized(name) in CANONICAL or name in FORKS or name == "input":
            raise PatternError(f"'{name}' is a word of the language already; rename the block", _at(heading))
        if normalized(name) in names:
            raise PatternError(f"the block '{name}' is there twice; rename one", _at(heading))
        names[normalized(name)] = name
    return {
        name: Block(name, parameters, parse(str(blocks[heading]), names.values(), f"block {name}"))
        for heading, (name, parameters) in headings.items()
    }


def _at(heading: str) -> SourceLocation:
    return SourceLocation(heading, source="block heading")


def _heading(heading: str) -> tuple[str, dict[str, Any]]:
    match = _HEADING.fullmatch(heading)
    if match is None or not re.match(r"[A-Za-z_]", match[1]):
        raise PatternError("a block is headed by a name and its parameters, such as basic(c, s=1)", _at(heading))
    parameters: dict[str, Any] = {}
    for text in (match[2] or "").split(",") if (match[2] or "").strip() else []:
        parameter = _PARAMETER.fullmatch(text)
        if parameter is None or parameter[1].lower() in KEYWORDS:
            raise PatternError(f"'{text.strip()}' is no parameter; type names such as c or s=1", _at(heading))
        if parameter[1].lower() in parameters:
            raise PatternError(f"the parameter '{parameter[1]}' is there twice", _at(heading))
        parameters[parameter[1].lower()] = REQUIRED if parameter[2] is None else _default(parameter[2], heading)
    return match[1].lower(), parameters


def _default(text: str, heading: str) -> Any:
    if text.lower() in KEYWORDS:
        return KEYWORDS[text.lower()]
    try:
        return read_number(text)
    except ValueError:
        raise PatternError(f"the default '{text}' is no number, true, false, same or valid", _at(heading)) from None
