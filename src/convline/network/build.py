"""A pattern + the shape of an image -> a plain nn.Module that gives logits.

    build_network("[CONV(filters) -> RELU -> POOL]*2 -> FC", (1, 28, 28), 10, filters=[32, 64])

Notable choices:
- Everything is nn.Sequential with named children (`stage1.conv1`, `fc2`); only forks have a forward of their own. A
  step costs what nn.Sequential costs, and a state_dict can be read by a person.
- The network is first built on the meta device, where weights have shapes and no memory: there every shape is checked
  and an absurd size refused, before anything is allocated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from convline.formatting import first_line, shape_text
from convline.memory import memory_limit
from convline.network.initialization import INITS, initialize
from convline.network.layer_builders import LAYER_BUILDERS, Shape, ShapeError
from convline.network.layers import Add, Concat
from convline.pattern.expand import ForkSpec, LayerSpec, ScopeSpec, Spec, expand
from convline.pattern.source import PatternError, SourceLocation

HIDDEN_UNITS = 128  # of an FC without a width that is not the last
AFTER_LOGITS = ("softmax", "identity", "flatten")  # may follow the last FC without taking its location


def build_network(
    pattern: str,
    input_shape: Sequence[int],
    num_classes: int,
    *,
    init: str = "torch",
    blocks: Mapping[str, str] | None = None,
    **variables: Any,
) -> nn.Module:
    """The network that a pattern stands for.

    Args:
        pattern: the text; `docs/patterns.md` teaches the language.
        input_shape: channels, height and width of one image.
        num_classes: logits that must come out; also the width of a last `FC` without one.
        init: how weights start, a key of `convline.network.initialization.INITS`.
        blocks: texts by heading, e.g. `{"basic(c, s=1)": "conv(c, 3, s) -> bn -> relu"}`.
        variables: a value for each name in the pattern, or a list with one entry per stage.
    Returns:
        A module that maps N×C×H×W to N×num_classes logits, on the default device.
    Raises:
        PatternError: the text is broken, the shapes do not fit, or the network would not fit into memory.
        ValueError: `input_shape`, `num_classes` or `init` make no sense.
    """
    shape = _checked(input_shape, num_classes, init)
    items = expand(pattern, variables, blocks)
    assembly = _Assembly(_last_fc(items), num_classes)
    with torch.device("meta"):
        network, output = assembly.chain(items, shape, "")
    _check_output(output, num_classes, SourceLocation(pattern, max(len(pattern.rstrip()) - 1, 0)))
    if torch.get_default_device().type != "meta":
        network, _ = assembly.chain(items, shape, "")
        initialize(network, init)
    return network


def _checked(input_shape: Sequence[int], num_classes: int, init: str) -> Shape:
    shape = tuple(input_shape)
    if len(shape) not in (1, 3) or not all(isinstance(side, int) and side > 0 for side in shape):
        raise ValueError(f"input_shape={list(shape)} must be three whole numbers: channels, height, width")
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes={num_classes} must be a whole number of at least 1")
    if init not in INITS:
        raise ValueError(f"init={init} is unknown: it must be one of {', '.join(INITS)}")
    return shape


def _last_fc(items: Sequence[Spec]) -> LayerSpec | None:
    """The FC that ends the network, if one does."""
    for item in reversed(items):
        if isinstance(item, ScopeSpec):
            if item.items:
                return _last_fc(item.items)
        elif isinstance(item, LayerSpec) and item.name == "fc":
            return item
        elif not (isinstance(item, LayerSpec) and item.name in AFTER_LOGITS):
            return None
    return None


def _check_output(output: Shape, num_classes: int, end: SourceLocation) -> None:
    if output != (num_classes,):
        raise PatternError(
            f"the network ends with {shape_text(output)}, but must end with {num_classes} logits; "
            "add '-> FC' at the end, without a width",
            end,
        )


class _Assembly:
    """Turns expanded items into modules, and counts what they need.

    Args:
        last: the FC that gives the logits.
        num_classes: its width if the pattern gives none.
    """

    def __init__(self, last: LayerSpec | None, num_classes: int) -> None:
        self.last, self.num_classes = last, num_classes
        self.num_bytes = 0  # of the weights so far
        self.limit = memory_limit()

    def chain(self, items: Sequence[Spec], shape: Shape, path: str) -> tuple[nn.Sequential, Shape]:
        """An nn.Sequential of the items, and the shape that leaves it; `path` is its name with a dot at the end."""
        if not path:
            self.num_bytes = 0
        sequence, counts = nn.Sequential(), Counter[str]()
        for item in items:
            for part in self.parts(item, shape):
                kind = part.kind if isinstance(part, ForkSpec) else part.name
                counts[kind] += 1
                name = f"{kind}{counts[kind]}"
                module, shape = self.part(part, shape, path + name)
                if module is not None:
                    sequence.add_module(name, module)
                else:
                    counts[kind] -= 1
        return sequence, shape

    def parts(self, item: Spec, shape: Shape) -> list[Spec]:
        """Replace `project` by its two units or by nothing, and put a `flatten` before an FC on a map."""
        if not isinstance(item, LayerSpec):
            return [item]
        if item.name == "fc" and len(shape) == 3:
            return [LayerSpec("flatten", {}, item.location, item.uses), item]
        if item.name == "project" and len(shape) == 3:
            return _projection(item, shape)
        return [item]

    def part(self, part: Spec, shape: Shape, path: str) -> tuple[nn.Module | None, Shape]:
        """The module of one part (None if there is nothing to do), and the shape that leaves it."""
        match part:
            case LayerSpec():
                return self.unit(part, shape, path)
            case ScopeSpec():
                return self.chain(part.items, shape, path + ".")
            case ForkSpec():
                return self.split(part, shape, path)

    def unit(self, unit: LayerSpec, shape: Shape, path: str) -> tuple[nn.Module | None, Shape]:
        """One leaf; shapes that do not fit, and sizes beyond this machine, are pointed at here."""
        label = unit.name.upper() + (f" ({path})" if "." in path else "")
        arguments = dict(unit.arguments)
        if unit.name == "fc" and arguments["units"] is None:
            arguments["units"] = self.num_classes if unit is self.last else HIDDEN_UNITS
        try:
            if unit.name == "project":
                raise ShapeError(f"needs a map C×H×W, but gets a vector of {shape_text(shape)}")
            kernel = arguments.get("kernel")
            if arguments.get("pad") == "same" and len(shape) == 3 and kernel and kernel > max(shape[1:]) + 1024:
                raise ShapeError(f"has a window of {kernel}×{kernel}, far larger than its map of {shape_text(shape)}")
            module, output = LAYER_BUILDERS[unit.name](shape, **arguments)
        except ShapeError as misfit:
            raise PatternError(f"{label} {misfit}", unit.location, unit.uses) from None
        except (RuntimeError, OverflowError, TypeError) as error:  # torch cannot count so many weights
            text = f"{label} is too large to be counted: {first_line(error)}"
            raise PatternError(text, unit.location, unit.uses) from None
        self.weigh(module, output, unit, label)
        return module, output

    def weigh(self, module: nn.Module | None, output: Shape, unit: LayerSpec, label: str) -> None:
        """Refuse what this machine cannot hold: the weights so far, or one image's activations of this unit."""
        if module is not None:
            self.num_bytes += sum(p.numel() * p.element_size() for p in module.parameters())
        needs = {"the weights up to here need": self.num_bytes, "its output needs": 4 * math.prod(output)}
        for what, num_bytes in needs.items():
            if num_bytes > self.limit:
                raise PatternError(
                    f"at {label}, {shape_text(output)}, {what} {num_bytes / 2**30:,.0f} GiB, but this machine has "
                    f"{self.limit / 2**30:,.0f} GiB; use fewer filters or units, or pool before",
                    unit.location,
                    unit.uses,
                )

    def split(self, split: ForkSpec, shape: Shape, path: str) -> tuple[nn.Module, Shape]:
        """A fork: every branch on the same input, and what comes out joined."""
        made = [self.chain(branch, shape, f"{path}.branch{n}.") for n, branch in enumerate(split.branches, 1)]
        modules, shapes = [module for module, _ in made], [output for _, output in made]
        listed = ", ".join(map(shape_text, shapes))
        if split.kind == "add":
            if len(set(shapes)) > 1:
                hint = "type project(filters, stride) in the branch that passes by"
                raise PatternError(f"branches of {listed} cannot be added; {hint}", split.location, split.uses)
            return Add(modules), shapes[0]
        if len({output[1:] for output in shapes}) > 1 or len({len(output) for output in shapes}) > 1:
            hint = "give each branch the same stride, and windows pad=same"
            raise PatternError(
                f"branches of {listed} cannot be joined channel by channel; {hint}", split.location, split.uses
            )
        return Concat(modules), (sum(output[0] for output in shapes), *shapes[0][1:])


def _projection(unit: LayerSpec, shape: Shape) -> list[Spec]:
    """The 1×1 shortcut: nothing where the shapes agree already.

    Source: He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", 2015, section 3.3, option B.
    """
    filters, stride, bn = unit.arguments["filters"], unit.arguments["stride"], unit.arguments["bn"]
    if (filters, stride) == (shape[0], 1):
        return []
    window = {"filters": filters, "kernel": 1, "stride": stride, "pad": "valid", "groups": 1, "dilation": 1}
    conv = LayerSpec("conv", {**window, "bias": not bn}, unit.location, unit.uses)
    norm = LayerSpec("bn", {"eps": 1e-5, "momentum": 0.1}, unit.location, unit.uses)
    return [conv, norm] if bn else [conv]
