"""Check the arguments of a `_target_` that Convline has no schema for, against the signature of the target itself.

A target given on the command line, such as `optimizer._target_=torch.optim.NAdam`, takes over the arguments of the
option that it replaces, except for those that it does not have.
"""

import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from convline.config.options import CONF_DIR, convline_targets, groups, option_file, own_folders
from convline.config.overrides import parse_overrides
from convline.errors import UserError
from convline.formatting import first_line, nearest

# The arguments that Convline itself gives: names, or the number of the first positional ones.
GIVEN: dict[str, tuple[int, tuple[str, ...]]] = {
    "optimizer": (1, ()),
    "scheduler": (0, ("total_steps", "steps_per_epoch", "optimizer")),
    "data.source": (2, ()),
    "logger": (0, ("save_dir",)),
    "loss": (2, ()),  # of a function; a class gets them when it is called
}

# Arguments that a target need not have, because Convline reads them itself.
OUR_OWN = {
    "optimizer": ("no_decay", "layer_decay", "groups"),
    "scheduler": ("interval", "monitor"),
    "metrics": ("name", "lower_is_better"),
}
# By module or target, the extra that installs it.
EXTRAS = {"pytorch_optimizer": "optimizers"}


def open_targets(overrides: Sequence[str]) -> list[str]:
    """Add `++` to the arguments of a `_target_` of the command line, since the replaced option may not have them.

    `optimizer._target_=torch.optim.NAdam optimizer.momentum_decay=0.01` needs no `+` of the user's own.
    """
    opened = [word.partition("=")[0].lstrip("+").removesuffix("_target_") for word in overrides if "._target_=" in word]
    # the options of the group hold a name or nothing there
    opened_values = [f"{node}_target_=" for node in opened if node in ("trainer.strategy.", "trainer.profiler.")]
    return [
        f"++{word}"
        if any(word.startswith(node) and not word.startswith(f"{node}_") for node in opened)
        or word.startswith(tuple(opened_values))
        else word
        for word in overrides
    ]


def fit_targets(
    cfg: DictConfig, choices: Mapping[str, str], overrides: Sequence[str]
) -> tuple[DictConfig, dict[str, str], list[str]]:
    """Drop what a `_target_` of the command line does not have as an argument; check targets without a schema.

    An argument that is on the command line too is not dropped, but refused if it is wrong.

    Args:
        cfg: the composed config; it is changed.
        choices: the chosen option of each group.
        overrides: those that the config was composed from.
    Returns:
        The config; the choices, with the name of the target where it replaces an option; and a notice for each target
        that has dropped arguments.
    Raises:
        UserError: a target does not exist, or an argument is unknown, missing or of another type.
    """
    keys = [override.key_or_group for override in parse_overrides(overrides)]
    given = [key.removesuffix("._target_") for key in keys if key.endswith("._target_")]
    _check_data_target(cfg, given)
    _check_classes_named(cfg)
    notices = []
    for key in given:
        if dropped := _drop_arguments(cfg, key, keys):
            target = OmegaConf.select(cfg, key)["_target_"]
            notices.append(f"{target} has no {', '.join(dropped)}: left out of {key}={choices.get(key, '…')}")
    named = dict(choices)
    for group in ("model", "optimizer", "scheduler"):
        if (group in given or group not in named) and OmegaConf.is_dict(OmegaConf.select(cfg, group)):
            named[group] = str(cfg[group].get("_target_", group)).rpartition(".")[2]
    for key in ("data.source", "data.module"):
        if key in given:
            named["data"] = str(OmegaConf.select(cfg, key)["_target_"]).rpartition(".")[2]
    own_groups = _groups_of_own_options(choices)
    # as plain containers: a walk over OmegaConf's nodes takes as long as all else of a config, in sweeps of thousands
    for key, target in _targets_by_key(OmegaConf.to_container(cfg, resolve=False)):
        is_ours = target in convline_targets() and target.partition(".")[0] not in EXTRAS
        node = None if is_ours and key.partition(".")[0] not in own_groups else OmegaConf.select(cfg, key)
        # a node with a schema is checked by it
        if node is not None and not (is_ours and OmegaConf.get_type(node) is not dict):
            _check_arguments(key, node)
    return cfg, named, notices


def _check_classes_named(cfg: DictConfig) -> None:
    """Refuse a callback or logger without a class."""
    for group in ("callbacks", "logger"):
        for name, node in (cfg.get(group) or {}).items():
            if node is not None and not (OmegaConf.is_dict(node) and "_target_" in node):
                raise UserError(f"{group}.{name} names no class.\n  Type: +{group}.{name}._target_=PACKAGE.CLASS")


def _check_data_target(cfg: DictConfig, given: Sequence[str]) -> None:
    """Refuse a target in the place of Convline's own data module, and one of the user's own that has no name."""
    if "data" in given:
        target = cfg.data["_target_"]
        raise UserError(
            f"data._target_={target}: images of your own come in at another place.\n"
            f"  Type, for a LightningDataModule: data=datamodule data.module._target_={target}\n"
            f"  for a torch Dataset, or a function that returns images: data.source._target_={target}"
        )
    is_module = OmegaConf.is_dict(cfg.get("data")) and OmegaConf.is_dict(cfg.data.get("module"))
    if is_module and OmegaConf.is_missing(cfg.data.module, "_target_"):
        raise UserError(
            "data=datamodule names no LightningDataModule.\n  Type: data=datamodule data.module._target_=PACKAGE.CLASS"
        )


def _drop_arguments(cfg: DictConfig, key: str, given_keys: Sequence[str]) -> list[str]:
    """Remove from a node the arguments that its target lacks, unless the command line has them; return their names."""
    node: Any = OmegaConf.to_container(OmegaConf.select(cfg, key), resolve=False)
    parameters = _parameters(locate(node["_target_"], f"{key}._target_"), node["_target_"])
    if parameters is None:
        return []
    names = {p.name for p in parameters}.union(OUR_OWN.get(key, ()))
    has_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if key == "model" and has_any:  # as torchvision's networks, which hand it on
        names.add("num_classes")
    if has_any and key not in ("model", "optimizer"):  # a function around one of ours, such as a source
        names |= set(node)
    dropped = [name for name in node if not (name.startswith("_") or name in names or f"{key}.{name}" in given_keys)]
    with open_dict(cfg):  # a plain node: that of a schema cannot lose a field
        OmegaConf.update(cfg, key, {k: v for k, v in node.items() if k not in dropped}, merge=False, force_add=True)
    return dropped


def _targets_by_key(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the `_target_` of every node of a config as plain containers."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in items:
        if isinstance(child, dict) and "_target_" in child:
            yield f"{prefix}{name}", str(child["_target_"])
        yield from _targets_by_key(child, f"{prefix}{name}.")


def _groups_of_own_options(choices: Mapping[str, str]) -> set[str]:
    """Return the groups whose chosen option lies in a folder of the user's own."""
    if not own_folders():
        return set()
    known = groups()
    chosen = {group: option for group, option in choices.items() if option in known.get(group, [])}
    return {group for group, option in chosen.items() if not option_file(group, option).is_relative_to(CONF_DIR)}


def _check_arguments(key: str, node: DictConfig) -> None:
    """Check the arguments of one node against the signature of its target."""
    values: Any = OmegaConf.to_container(node, resolve=True)
    target = values["_target_"]
    found = locate(target, key)
    parameters = _parameters(found, target)
    if parameters is None:  # written in C, with a signature that nobody states
        return
    own = OUR_OWN.get(key.partition(".")[0], ())
    given = {name: value for name, value in values.items() if not (name.startswith("_") or name in own)}
    num_given, given_names = next((g for group, g in GIVEN.items() if f"{key}.".startswith(f"{group}.")), (0, ()))
    if key == "loss" and isinstance(found, type):
        num_given = 0
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in given:
            if name not in names:
                known = ", ".join(names[num_given:]) or "none"
                raise UserError(
                    f"{key}.{name}: {target} has no such argument{nearest(name, names)}.\n  It has: {known}"
                )
    for parameter in parameters[num_given:]:
        is_needed = parameter.default is parameter.empty and parameter.name in names
        # only what Convline calls itself may wait for further arguments
        if is_needed and parameter.name not in given and parameter.name not in given_names:
            raise UserError(
                f"{key}: {target} needs the argument {parameter.name}.\n  Type: {key}.{parameter.name}=VALUE"
            )
    _check_types(key, target, found, given)


def _check_types(key: str, target: str, found: Any, given: Mapping[str, Any]) -> None:
    from typeguard import TypeCheckError, check_type  # takes a moment, and is needed for foreign targets alone

    try:
        # the signature of a class is that of its constructor
        hints = typing.get_type_hints(found.__init__ if isinstance(found, type) else found)  # type: ignore[misc]
    except Exception:
        return  # an annotation that cannot be evaluated states no type
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
        if len(failures) == len(candidates):
            raise UserError(f"{key}.{name}={value}: {target} expects {_type_text(hints[name])}.") from failures[0]


def _type_text(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _holds_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_holds_target, value.values()))
    return isinstance(value, list) and any(map(_holds_target, value))


def _parameters(found: Any, target: str) -> list[inspect.Parameter] | None:
    """Return the parameters of a target; None if it states no signature."""
    if not callable(found):
        raise UserError(f"{target} is {type(found).__name__}, which cannot be called: name a class or a function.")
    try:
        return list(inspect.signature(found).parameters.values())
    except ValueError:
        return None


def locate(target: str, key: str) -> Any:
    """Import the object of a dotted name.

    Raises:
        UserError: there is none, or its module cannot be imported; names the nearest right name.
    """
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
            raise UserError(f"{key}: {name} cannot be imported: {type(error).__name__}: {first_line(error)}") from error
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
