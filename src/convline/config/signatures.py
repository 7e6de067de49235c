"""Check the arguments of a config's node against the signature of its `_target_`, before it is made."""

import inspect
import typing
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convline.errors import UserError
from convline.formatting import first_line, nearest, shortened

# The arguments that Convline itself gives: names, or the number of the first positional ones.
GIVEN: dict[str, tuple[int, tuple[str, ...]]] = {
    "classifier": (
        0,
        ("network", "loss", "class_weights", "optimizer", "scheduler", "parameter_groups", "metrics", "compile"),
    ),
    "optimizer": (1, ()),
    "scheduler": (0, ("total_steps", "steps_per_epoch", "optimizer")),
    "data.source": (2, ()),
    "logger": (0, ("save_dir",)),
    "sweep.sampler": (0, ("search_space",)),  # of GridSampler
    "loss": (2, ()),  # of a function; a class gets them when it is called
}

# Arguments that a target need not have, because Convline reads them itself.
OUR_OWN = {
    "optimizer": ("no_decay", "layer_decay", "groups"),
    "scheduler": ("interval", "monitor"),
    "trainer": ("rendezvous_minutes",),
    "metrics": ("name", "lower_is_better"),
}
# By target, the function that gets its further arguments.
FORWARDED = {
    "lightning.pytorch.loggers.TensorBoardLogger": "torch.utils.tensorboard.SummaryWriter",
    "lightning.pytorch.loggers.WandbLogger": "wandb.init",
    "lightning.pytorch.profilers.PyTorchProfiler": "torch.profiler.profile",
}
# By module or target, the extra that installs it.
EXTRAS = {"pytorch_optimizer": "optimizers"}


def check_arguments(key: str, node: DictConfig, has_root: bool = True) -> None:
    """Check the arguments of a node against the signature of its target.

    Args:
        key: the node's key.
        node: the node, which has a `_target_`.
        has_root: whether a source of images gets a folder.

    Raises:
        UserError: the target does not exist, or an argument is unknown, missing or of another type.
    """
    values: Any = OmegaConf.to_container(node, resolve=True)
    target = values["_target_"]
    found = locate(target, key)
    _check_instructions(key, values)
    parameters = parameters_of(found, target)
    if parameters is None:  # written in C, with a signature that nobody states
        return
    own = OUR_OWN.get(key.partition(".")[0], ())
    given = {name: value for name, value in values.items() if not (name.startswith("_") or name in own)}
    num_given, given_names = _given_by_us(key, found, values, has_root)
    if target in FORWARDED:
        parameters = [*(p for p in parameters if p.kind is not p.VAR_KEYWORD), *_forwarded(target)]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in given:
            if name not in names:
                known = ", ".join(names[num_given:]) or "none"
                raise UserError(
                    f"{key}.{name}: {target} has no such argument{nearest(name, names)}.\n  It has: {known}"
                )
    can_take = any(p.kind is p.VAR_POSITIONAL for p in parameters) or num_given <= len(parameters)
    if not (can_take or isinstance(found, type) or values.get("_partial_") is False):
        raise UserError(f"{key}: {target} takes {len(parameters)} arguments, but Convline gives it {num_given}.")
    for parameter in parameters[num_given:]:
        is_needed = parameter.default is parameter.empty and parameter.name in names
        # only what Convline calls itself may wait for further arguments
        if is_needed and parameter.name not in given and parameter.name not in given_names:
            raise UserError(
                f"{key}: {target} needs the argument {parameter.name}.\n  Type: {key}.{parameter.name}=VALUE"
            )
    _check_types(key, target, found, given)


def _given_by_us(key: str, found: Any, values: Mapping[str, Any], has_root: bool) -> tuple[int, tuple[str, ...]]:
    """Return how many first arguments, and which named ones, a target gets beside those of its node."""
    num_given, names = next((g for group, g in GIVEN.items() if f"{key}.".startswith(f"{group}.")), (0, ()))
    if "_args_" in values:
        num_given = len(values["_args_"])
    elif key == "loss" and isinstance(found, type):
        num_given = 0
    elif key == "data.source" and not has_root:
        num_given = 1
    return num_given, names


def _check_instructions(key: str, values: Mapping[str, Any]) -> None:
    """Check what is addressed to Hydra's `instantiate`, which are the names that begin with `_`."""
    gets_arguments = any(f"{key}.".startswith(f"{group}.") for group in GIVEN)  # from Convline, the first ones
    allowed = {
        "_target_": lambda value: True,
        "_args_": lambda value: isinstance(value, list) and not gets_arguments,
        "_partial_": lambda value: isinstance(value, bool),
        "_recursive_": lambda value: isinstance(value, bool),
        "_convert_": lambda value: value in ("none", "partial", "object", "all"),
    }
    for name, value in values.items():
        if str(name).startswith("_") and not (name in allowed and allowed[name](value)):
            raise UserError(
                f"{key}.{name}={shortened(str(value), 80)}: names that begin with _ are Hydra's: _partial_ and "
                "_recursive_ are true or false, _convert_ is none, partial, object or all; arguments are named."
            )


def _check_types(key: str, target: str, found: Any, given: Mapping[str, Any]) -> None:
    from typeguard import TypeCheckError, check_type  # takes a moment, and is needed for foreign targets alone

    # the signature of a class is that of its constructor
    hints = _hints(found.__init__ if isinstance(found, type) else found)  # type: ignore[misc]
    for name, value in given.items():
        if name not in hints or _holds_target(value):
            continue
        candidates = [value, tuple(value)] if isinstance(value, list) else [value]  # YAML has no tuples
        try:
            failures = []
            for candidate in candidates:
                try:
                    check_type(candidate, hints[name])
                    break
                except TypeCheckError as error:
                    failures.append(error)
        except Exception:
            continue
        # Python counts true as a number
        if len(failures) == len(candidates) or (isinstance(value, bool) and not _may_be_bool(hints[name])):
            text = shortened(str(value), 80)
            raise UserError(f"{key}.{name}={text}: {target} expects {_type_text(hints[name])}.") from next(
                iter(failures), None
            )


def _hints(function: Any) -> dict[str, Any]:
    """Return the annotations of a function that can be evaluated; others, of names for type checkers, state no type."""
    hints: dict[str, Any] = {}
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    for name, annotation in getattr(function, "__annotations__", {}).items():
        with suppress(Exception):
            hints |= typing.get_type_hints(SimpleNamespace(__annotations__={name: annotation}), scope)
    return hints


def _may_be_bool(hint: Any) -> bool:
    return (
        hint in (bool, Any, object)
        or any(map(_may_be_bool, typing.get_args(hint)))
        or not (isinstance(hint, type) or typing.get_args(hint))
    )


def _type_text(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _holds_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_holds_target, value.values()))
    return isinstance(value, list) and any(map(_holds_target, value))


def parameters_of(found: Any, target: str) -> list[inspect.Parameter] | None:
    """Return the parameters of a target; None if it states no signature."""
    if not callable(found):
        raise UserError(f"{target} is {type(found).__name__}, which cannot be called: name a class or a function.")
    if getattr(getattr(found, "__init__", None), "__module__", "") == "torch.nn.modules.module":
        return []  # of torch.nn.Module, which states that it takes any arguments, and takes none
    try:
        return list(inspect.signature(found).parameters.values())
    except ValueError:
        return None


def _forwarded(target: str) -> list[inspect.Parameter]:
    """Return the parameters of the function that gets a target's further arguments; all of them can be left out."""
    given = parameters_of(locate(FORWARDED[target], target), FORWARDED[target]) or []
    return [p.replace(kind=p.KEYWORD_ONLY, default=None) for p in given if p.name not in ("self", "log_dir")]


def locate(target: Any, key: str) -> Any:
    """Import the object of a dotted name.

    Raises:
        UserError: there is none, or its module cannot be imported; names the nearest right name.
    """
    if not isinstance(target, str) or not target:
        raise UserError(f"{key}={shortened(str(target), 80)} names no class: it is written PACKAGE.CLASS.")
    parts = target.split(".")
    for count in range(len(parts), 0, -1):
        name = ".".join(parts[:count])
        try:
            found: Any = import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise UserError(f"{key}: {name} cannot be imported: {first_line(error)}") from error
            continue
        except Exception as error:  # a mistake in the user's own module
            raise UserError(
                f"{key}: {shortened(name, 80)} cannot be imported: {type(error).__name__}: {first_line(error)}"
            ) from error
        if 1 < count == len(parts):  # an object may hide the module of its name, as convline.data.sources.digits does
            found = getattr(import_module(name.rpartition(".")[0]), parts[-1], found)
        for index, part in enumerate(parts[count:]):
            if not hasattr(found, part):
                where = ".".join(parts[: count + index])
                names = [entry for entry in dir(found) if not entry.startswith("_")]
                raise UserError(f"{key}={target}: there is no {part} in {where}{nearest(part, names)}.")
            found = getattr(found, part)
        return found
    if parts[0] in EXTRAS:
        raise UserError(
            f"{key}={target} needs {parts[0]}, which is not installed.\n"
            f"  Type: pip install 'convline[{EXTRAS[parts[0]]}]'"
        )
    raise UserError(
        f"{key}={target}: there is no module {parts[0]}.\n"
        "  A module of your own lies in the folder you stand in, or beside your folder of options, or is installed."
    )
