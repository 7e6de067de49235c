"""Build a network from a pattern, or from a config.

    build_network("[CONV(filters) -> RELU -> POOL]*2 -> FC", (1, 28, 28), 10, filters=[32, 64])

Notable choices:
- Every container is an nn.Sequential with named children (`stage1.conv1`, `fc2`); only forks define a `forward`. So the
  forward pass costs no more than nn.Sequential, and the keys of a state_dict are readable.
- The network is first built on the meta device, where weights have shapes and no memory. Every shape and the total size
  are checked there, before any memory is allocated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from convline.errors import UserError
from convline.formatting import first_line, shape_text
from convline.machine import memory_limit
from convline.network.initialization import INITS, initialize
from convline.network.layer_builders import LAYER_BUILDERS, ShapeError
from convline.network.layers import Add, Concat
from convline.network.summary import NetworkSummary, summarize
from convline.network.windows_and_macs import Shape
from convline.pattern.expand import ForkSpec, LayerSpec, ScopeSpec, Spec, expand
from convline.pattern.source import PatternError, SourceLocation

HIDDEN_UNITS = 128  # default width of every FC but the last one
AFTER_LOGITS = ("softmax", "identity", "flatten")  # layers that may follow the FC that returns the logits


def build_network(
    pattern: str,
    input_shape: Sequence[int],
    num_classes: int,
    *,
    init: str = "torch",
    blocks: Mapping[str, str] | None = None,
    **variables: Any,
) -> nn.Module:
    """Build the network that a pattern describes, and initialize its weights.

    Args:
        pattern: the text; see `docs/patterns.md` for the language.
        input_shape: channels, height and width of one image.
        num_classes: number of logits; the default width of the last `FC`.
        init: initialization scheme, a key of `convline.network.initialization.INITS`.
        blocks: definitions of blocks by signature, e.g. `{"basic(c, s=1)": "conv(c, 3, s) -> bn -> relu"}`.
        variables: a value for each name in the pattern, or a list with one entry per stage.
    Returns:
        A module that maps N×C×H×W to N×num_classes logits, on the default device.
    Raises:
        PatternError: the text has a syntax error, shapes do not fit, or the network would not fit into memory.
        ValueError: `input_shape`, `num_classes` or `init` is invalid.
    """
    shape = _check_arguments(input_shape, num_classes, init)
    items = expand(pattern, variables, blocks)
    builder = _NetworkBuilder(_last_fc(items), num_classes)
    with torch.device("meta"):
        network, output = builder.build_sequence(items, shape, "")
    _check_output(output, num_classes, SourceLocation(pattern, max(len(pattern.rstrip()) - 1, 0)))
    if torch.get_default_device().type != "meta":
        network, _ = builder.build_sequence(items, shape, "")
        initialize(network, init)
    return network


def build_meta_network(cfg: DictConfig) -> tuple[nn.Module, NetworkSummary]:
    """Build the network of a config on the meta device, where it takes no memory, and summarize it.

    Args:
        cfg: a config with `model`, which has a `_target_`. The images have the model's own `input_shape` if it has one,
            else `data.input_shape`.
    Raises:
        UserError: the network cannot be built, or cannot take the images.
    """
    try:
        model: Any = OmegaConf.to_container(cfg.model, resolve=True)
        with torch.device("meta"):
            network = instantiate(model, _convert_="all")
        if not isinstance(network, nn.Module):
            raise UserError(
                f"model: {model.get('_target_')} gives {type(network).__name__}, but must give a torch.nn.Module"
            )
        return network, summarize(network, model.get("input_shape") or list(cfg.data.input_shape))
    except HydraException as error:  # Hydra wraps the error that the network's own code raises
        cause = error.__cause__ or error
        raise UserError(str(cause)) from cause
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_arguments(input_shape: Sequence[int], num_classes: int, init: str) -> Shape:
    shape = tuple(input_shape)
    if len(shape) not in (1, 3) or not all(isinstance(side, int) and side > 0 for side in shape):
        raise ValueError(f"input_shape={list(shape)} must be three whole numbers: channels, height, width")
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes={num_classes} must be a whole number of at least 1")
    if init not in INITS:
        raise ValueError(f"init={init} is unknown: it must be one of {', '.join(INITS)}")
    return shape


def _last_fc(items: Sequence[Spec]) -> LayerSpec | None:
    """Return the FC that computes the logits; None if the network does not end with an FC."""
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


class _NetworkBuilder:
    """Build modules from the items of an expanded pattern, and check that they fit into memory.

    Args:
        last_fc: the FC that computes the logits.
        num_classes: width of `last_fc` if the pattern gives none.
    """

    def __init__(self, last_fc: LayerSpec | None, num_classes: int) -> None:
        self.last_fc, self.num_classes = last_fc, num_classes
        self.weight_bytes = 0  # of the layers built so far
        self.memory_limit = memory_limit()  # bytes

    def build_sequence(self, items: Sequence[Spec], shape: Shape, path: str) -> tuple[nn.Sequential, Shape]:
        """Build an nn.Sequential.

        Args:
            items: layers, scopes and forks of the pattern.
            shape: of the input, without the batch.
            path: the module's name in the network with a dot at its end; "" for the network itself.
        Returns:
            The module, and the shape of its output.
        """
        if not path:
            self.weight_bytes = 0
        sequence, counts = nn.Sequential(), Counter[str]()
        for item in items:
            for spec in self.expand_layer(item, shape):
                kind = spec.kind if isinstance(spec, ForkSpec) else spec.name
                counts[kind] += 1
                name = f"{kind}{counts[kind]}"
                module, shape = self.build(spec, shape, path + name)
                if module is not None:
                    sequence.add_module(name, module)
                else:  # such as `enlarge` of a map that is large enough: the next layer of the kind takes the number
                    counts[kind] -= 1
        return sequence, shape

    def expand_layer(self, item: Spec, shape: Shape) -> list[Spec]:
        """Replace `project` by its layers, which may be none, and insert a `flatten` before an FC on a feature map."""
        if not isinstance(item, LayerSpec):
            return [item]
        if item.name == "fc" and len(shape) == 3:
            return [LayerSpec("flatten", {}, item.location, item.uses), item]
        if item.name == "project" and len(shape) == 3:
            return _projection(item, shape)
        return [item]

    def build(self, spec: Spec, shape: Shape, path: str) -> tuple[nn.Module | None, Shape]:
        """Build one module; return None for a layer that has nothing to do, and the shape of the output."""
        match spec:
            case LayerSpec():
                return self.build_layer(spec, shape, path)
            case ScopeSpec():
                return self.build_sequence(spec.items, shape, path + ".")
            case ForkSpec():
                return self.build_fork(spec, shape, path)

    def build_layer(self, layer: LayerSpec, shape: Shape, path: str) -> tuple[nn.Module | None, Shape]:
        """Build one layer.

        Raises:
            PatternError: the layer cannot take this shape, or is too large for this machine.
        """
        label = layer.name.upper() + (f" ({path})" if "." in path else "")
        arguments = dict(layer.arguments)
        if layer.name == "fc" and arguments["units"] is None:
            arguments["units"] = self.num_classes if layer is self.last_fc else HIDDEN_UNITS
        try:
            if layer.name == "project":
                raise ShapeError(f"needs a map C×H×W, but gets a vector of {shape_text(shape)}")
            kernel = arguments.get("kernel")
            if arguments.get("pad") == "same" and len(shape) == 3 and kernel and kernel > max(shape[1:]) + 1024:
                raise ShapeError(f"has a window of {kernel}×{kernel}, far larger than its map of {shape_text(shape)}")
            module, output = LAYER_BUILDERS[layer.name](shape, **arguments)
        except ShapeError as error:
            raise PatternError(f"{label} {error}", layer.location, layer.uses) from None
        except (RuntimeError, OverflowError, TypeError) as error:  # torch cannot count so many weights
            text = f"{label} is too large to be counted: {first_line(error)}"
            raise PatternError(text, layer.location, layer.uses) from None
        self.check_memory(module, output, layer, label)
        return module, output

    def check_memory(self, module: nn.Module | None, output: Shape, layer: LayerSpec, label: str) -> None:
        """Check that this machine can hold all weights so far, and the output of this layer for one image.

        Raises:
            PatternError: it cannot.
        """
        if module is not None:
            self.weight_bytes += sum(p.numel() * p.element_size() for p in module.parameters())
        needs = {"the weights up to here need": self.weight_bytes, "its output needs": 4 * math.prod(output)}
        for subject, num_bytes in needs.items():
            if num_bytes > self.memory_limit:
                raise PatternError(
                    f"at {label}, {shape_text(output)}, {subject} {num_bytes / 2**30:,.0f} GiB, but this machine has "
                    f"{self.memory_limit / 2**30:,.0f} GiB; use fewer filters or units, or pool before",
                    layer.location,
                    layer.uses,
                )

    def build_fork(self, fork: ForkSpec, shape: Shape, path: str) -> tuple[nn.Module, Shape]:
        """Build a fork, whose branches all take the same input and whose outputs are added or concatenated.

        Raises:
            PatternError: the shapes of the branches' outputs differ.
        """
        branches = [
            self.build_sequence(branch, shape, f"{path}.branch{n}.") for n, branch in enumerate(fork.branches, 1)
        ]
        modules, shapes = [module for module, _ in branches], [output for _, output in branches]
        shape_list = ", ".join(map(shape_text, shapes))
        if fork.kind == "add":
            if len(set(shapes)) > 1:
                hint = "type project(filters, stride) in the branch that passes by"
                raise PatternError(f"branches of {shape_list} cannot be added; {hint}", fork.location, fork.uses)
            return Add(modules), shapes[0]
        if len({output[1:] for output in shapes}) > 1 or len({len(output) for output in shapes}) > 1:
            hint = "give each branch the same stride, and windows pad=same"
            raise PatternError(
                f"branches of {shape_list} cannot be joined channel by channel; {hint}", fork.location, fork.uses
            )
        return Concat(modules), (sum(output[0] for output in shapes), *shapes[0][1:])


def _projection(layer: LayerSpec, shape: Shape) -> list[Spec]:
    """Return the layers of a 1×1 projection shortcut; none if input and output have the same shape.

    Source: He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", 2015, section 3.3, option B.
    """
    filters, stride, bn = layer.arguments["filters"], layer.arguments["stride"], layer.arguments["bn"]
    if (filters, stride) == (shape[0], 1):
        return []
    window = {"filters": filters, "kernel": 1, "stride": stride, "pad": "valid", "groups": 1, "dilation": 1}
    conv = LayerSpec("conv", {**window, "bias": not bn}, layer.location, layer.uses)
    norm = LayerSpec("bn", {"eps": 1e-5, "momentum": 0.1}, layer.location, layer.uses)
    return [conv, norm] if bn else [conv]
