"""Expand a pattern: its tree, variables and blocks become a list of layer specs.

Variables are replaced by their values, groups are repeated, optional steps are kept or dropped, and blocks are replaced
by their text. The result holds `LayerSpec`s, `ScopeSpec`s (stages and blocks, which become submodules) and `ForkSpec`s.

A variable with a list has one value per stage: in the m-th repetition of the outermost group around the variable, its
value is entry m.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from convline.formatting import nearest
from convline.pattern.arguments import Parameter, bind
from convline.pattern.blocks import Block, read_blocks
from convline.pattern.parser import parse
from convline.pattern.source import PatternError, SourceLocation
from convline.pattern.syntax_tree import (
    Call,
    Chain,
    Fork,
    Group,
    Name,
    Node,
    Optional,
    Product,
    Repeat,
    Value,
    names_in,
)
from convline.pattern.vocabulary import ARGUMENT_TYPES, MAP_UNITS, UNITS

MAX_UNITS = 20_000  # of steps and repetitions together; a thousand-layer residual network has about 3,500
MAX_BLOCK_DEPTH = 20  # blocks used inside blocks


@dataclass(frozen=True)
class LayerSpec:
    """Specify one layer.

    Args:
        name: the unit.
        arguments: a value for each of its parameters.
        location: position of the unit in the pattern or in the text of a block.
        uses: positions of the uses of blocks that contain it, outermost first.
    """

    name: str
    arguments: dict[str, Any]
    location: SourceLocation
    uses: tuple[SourceLocation, ...] = ()


@dataclass(frozen=True)
class ScopeSpec:
    """Specify a submodule: a stage, or one use of a block."""

    name: str
    items: list[Spec]


@dataclass(frozen=True)
class ForkSpec:
    """Specify a fork, `kind` "add" or "concat", by its expanded branches."""

    kind: str
    branches: list[list[Spec]]
    location: SourceLocation
    uses: tuple[SourceLocation, ...] = ()


Spec = LayerSpec | ScopeSpec | ForkSpec


@dataclass(frozen=True)
class Stage:
    """Number the repetitions of an outermost group.

    Args:
        index: the present repetition, from 0.
        count: the number of repetitions.
        location: position of the group.
    """

    index: int
    count: int
    location: SourceLocation


@dataclass(frozen=True)
class _Context:
    """Hold the surroundings of a node: the parameters of its block, its stage and the uses of blocks around it."""

    bound: Mapping[str, Any] = field(default_factory=dict)  # values of the block's parameters
    stage: Stage | None = None
    uses: tuple[SourceLocation, ...] = ()

    def error(self, problem: str, location: SourceLocation) -> PatternError:
        return PatternError(problem, location, self.uses)


def expand(pattern: str, variables: Mapping[str, Any], blocks: Mapping[str, str] | None = None) -> list[Spec]:
    """Expand a pattern into layer specs, in which every variable has its value.

    Args:
        pattern: the text.
        variables: values by name: numbers, true/false, words, or lists of them with one entry per stage.
        blocks: texts by heading, e.g. `{"basic(c, s=1)": "conv(c, 3, s) -> bn -> relu"}`.
    Raises:
        PatternError: the text is wrong, or a variable has no value, is not used, or has a value that is not allowed.
    """
    blocks_by_name = read_blocks(blocks or {})
    tree = parse(pattern, [block.name for block in blocks_by_name.values()])
    _refuse_unused(variables, tree, blocks_by_name)
    try:
        items = _Expander(variables, blocks_by_name).top(tree)
    except RecursionError:
        raise PatternError("blocks and brackets are nested too deep; flatten some", SourceLocation(pattern)) from None
    if not items:
        raise PatternError(
            "nothing is left of the network: every step is repeated *0 or switched off", SourceLocation(pattern)
        )
    return items


def _refuse_unused(variables: Mapping[str, Any], tree: Chain, blocks: Mapping[str, Block]) -> None:
    used = {name.lower(): name for name in names_in(tree)}  # the spelling in the text, by the name in lower case
    for block in blocks.values():
        used |= {name.lower(): name for name in names_in(block.body) if name.lower() not in block.parameters}
    spellings: dict[str, str] = {}
    for name in variables:
        if name.lower() in spellings:
            raise PatternError(
                f"the variables '{spellings[name.lower()]}' and '{name}' differ in case only; rename one"
            )
        spellings[name.lower()] = name
        if name.lower() not in used:
            known = ", ".join(sorted(used.values())) or "none"
            raise PatternError(
                f"the variable '{name}' has no effect: the pattern does not use it{nearest(name, used.values())}; "
                f"it uses {known}. On the command line '~model.{name}' takes it out"
            )


class _Expander:
    """Expand a tree, with one method per kind of node.

    Args:
        variables: values by name, or lists of values with one entry per stage.
        blocks: the blocks by name.
    """

    def __init__(self, variables: Mapping[str, Any], blocks: Mapping[str, Block]) -> None:
        self.variables = {name.lower(): value for name, value in variables.items()}
        self.spellings = list(variables)
        self.blocks = blocks
        self.num_units = 0

    def top(self, tree: Chain) -> list[Spec]:
        """Expand the whole network. Only the repetitions of its outermost groups become stages."""
        context = _Context()
        items: list[Spec] = []
        for node in tree.nodes:
            for repetition in self.repetitions(node, context):
                is_stage = _is_group(node) and any(_works_on_maps(item) for item in repetition)
                items += [ScopeSpec("stage", repetition)] if is_stage else repetition
        return items

    def chain(self, chain: Chain, context: _Context) -> list[Spec]:
        """Expand the nodes of a chain into one list."""
        return [item for node in chain.nodes for items in self.repetitions(node, context) for item in items]

    def repetitions(self, node: Node, context: _Context) -> Iterator[list[Spec]]:
        """Yield the specs of each repetition of a node; a node without `*n` has one repetition."""
        match node:
            case Optional():
                if self.is_on(node, context):
                    yield from self.repetitions(node.body, context)
            case Repeat():
                yield from self.repeated(node, context)
            case Group():
                inner = context if context.stage else replace(context, stage=Stage(0, 1, node.location))
                yield self.chain(node.body, inner)
            case Fork():
                yield [self.fork(node, context)]
            case Call():
                yield [self.step(node, context)]

    def repeated(self, node: Repeat, context: _Context) -> Iterator[list[Spec]]:
        """Yield the specs of each of the n repetitions; the outermost repetition numbers the stages."""
        count = self.count(node, context)
        for index in range(count):
            self.spend(node.location, context)
            inner = context if context.stage else replace(context, stage=Stage(index, count, node.location))
            for items in self.repetitions(node.body, inner):
                if not items and isinstance(node.body, Group):
                    raise context.error(
                        "nothing is left of this group: everything in it is repeated *0 or switched off; "
                        "repeat the group itself *0, or leave something in it",
                        node.body.location,
                    )
                yield items

    def fork(self, fork: Fork, context: _Context) -> ForkSpec:
        """Expand the branches of a fork."""
        branches = [self.chain(branch, context) for branch in fork.branches]
        for number, branch in enumerate(branches, 1):
            if not branch:
                raise context.error(f"nothing is left of branch {number}; type identity to pass it by", fork.location)
        return ForkSpec(fork.kind, branches, fork.location, context.uses)

    def step(self, step: Call, context: _Context) -> LayerSpec | ScopeSpec:
        """Expand a unit into a layer spec, or a block into a scope."""
        self.spend(step.location, context)
        block = self.blocks.get(step.name)
        if block is None:
            return LayerSpec(step.name, self.bind(step, UNITS[step.name], context), step.location, context.uses)
        if len(context.uses) >= MAX_BLOCK_DEPTH:
            raise context.error(f"block {block.name} uses itself, or blocks are {MAX_BLOCK_DEPTH} deep", step.location)
        bound = self.bind(step, block.signature(), context)
        inner = _Context(bound, context.stage, (*context.uses, step.location))
        return ScopeSpec(step.name, self.chain(block.body, inner))

    def spend(self, location: SourceLocation, context: _Context) -> None:
        """Count a step or a repetition, and refuse a pattern with more than `MAX_UNITS`."""
        self.num_units += 1
        if self.num_units > MAX_UNITS:
            raise context.error(f"the pattern unfolds to more than {MAX_UNITS:,} units; repeat less", location)

    def bind(self, step: Call, parameters: tuple[Parameter, ...], context: _Context) -> dict[str, Any]:
        """Bind the arguments of a step to parameters, check their values, and fill in the defaults."""
        return bind(
            step,
            parameters,
            ARGUMENT_TYPES,
            lambda value, location: self.value(value, location, context),
            context.error,
        )

    def value(self, value: Value, location: SourceLocation, context: _Context) -> Any:
        """Evaluate a variable or a product; other values are returned as they are."""
        match value:
            case Name():
                return self.variable(value, context)
            case Product():
                result: int | float = 1
                for factor in value.factors:
                    number = self.value(factor, value.location, context)
                    if isinstance(number, bool) or not isinstance(number, int | float):
                        raise context.error(f"only numbers can be multiplied, but {factor} is {number!r}", location)
                    try:
                        result *= number
                    except OverflowError:
                        raise context.error("the product is too large", location) from None
                return result
            case _:
                return value

    def variable(self, name: Name, context: _Context) -> Any:
        """Return the value of a variable; if it is a list, the entry of the present stage."""
        key = name.name.lower()
        if key in context.bound:
            return context.bound[key]
        if key not in self.variables:
            known = [*context.bound, *self.spellings]
            near = nearest(name.name, known)
            hint = f"set it in the model's file, or by +model.{name.name}=... on the command line"
            raise context.error(f"the variable '{name.name}' has no value{near}; {hint}", name.location)
        value = self.variables[key]
        if not isinstance(value, list | tuple):
            return value
        shown = f"'{name.name}' is a list of {len(value)}"
        if context.stage is None:
            raise context.error(f"{shown}, but stands outside every group; give one value", name.location)
        if len(value) != context.stage.count:
            count = context.stage.count
            times = "once" if count == 1 else f"{count} times"
            raise context.error(
                f"{shown}, {list(value)}, but its outermost group is there {times}; give one value, or {count}",
                name.location,
            )
        return value[context.stage.index]

    def count(self, repeat: Repeat, context: _Context) -> int:
        """Return how often a node is repeated."""
        if isinstance(repeat.count, int):
            number: Any = repeat.count
            location = repeat.location
        else:
            number, location = self.variable(repeat.count, context), repeat.count.location
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise context.error(f"a count is a whole number of at least 0, but {repeat.count} is {number!r}", location)
        if number > MAX_UNITS:
            raise context.error(
                f"{number:,} repetitions are more than the {MAX_UNITS:,} units a network may have", location
            )
        return number

    def is_on(self, optional: Optional, context: _Context) -> bool:
        """Return whether an optional node is kept."""
        value = self.variable(optional.variable, context)
        if not isinstance(value, bool):
            name = optional.variable.name
            raise context.error(
                f"'{name}' decides whether a step is there: true or false, not {value!r}", optional.location
            )
        return value


def _is_group(node: Node) -> bool:
    while isinstance(node, Repeat | Optional):
        node = node.body
    return isinstance(node, Group)


def _works_on_maps(item: Spec) -> bool:
    match item:
        case LayerSpec():
            return item.name in MAP_UNITS
        case ScopeSpec():
            return any(_works_on_maps(inner) for inner in item.items)
        case ForkSpec():
            return any(_works_on_maps(inner) for branch in item.branches for inner in branch)
