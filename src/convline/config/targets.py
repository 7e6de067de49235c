"""Choose the nodes of a config whose arguments are checked against the signature of their `_target_`.

Nodes as Convline ships them, or with a schema, are left out: looking at a signature imports its module.

A target given on the command line, such as `optimizer._target_=torch.optim.NAdam`, takes over the arguments of the
option that it replaces, except for those that it does not have.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from convline.config.options import convline_nodes, convline_targets
from convline.config.overrides import parse_overrides
from convline.config.signatures import EXTRAS, OUR_OWN, check_arguments, locate, parameters_of
from convline.errors import UserError
from convline.formatting import shortened

SCHEMA_ALONE = ("data", "classifier", "trainer")  # nodes of which Convline reads each setting itself


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
    keys = [override.key_or_group for override in parse_overrides(overrides) if not override.is_delete()]
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
    has_root = OmegaConf.is_dict(cfg.get("data")) and "root" in cfg.data
    # as plain containers: a walk over OmegaConf's nodes takes as long as all else of a config, in sweeps of thousands
    for key, plain in _nodes_by_key(OmegaConf.to_container(cfg, resolve=False)):
        # to look at a target's signature imports it, which takes seconds with torch: what is as shipped is right
        if not (key.startswith("sweep.") or _is_as_shipped(key, plain, OmegaConf.select(cfg, key))):
            check_arguments(key, OmegaConf.select(cfg, key), has_root=has_root)
    return cfg, named, notices


def _check_classes_named(cfg: DictConfig) -> None:
    """Refuse a callback or logger without a class."""
    for group in ("callbacks", "logger"):
        if not (cfg.get(group) is None or OmegaConf.is_dict(cfg[group])):
            raise UserError(f"{group}={shortened(str(cfg[group]), 80)} is no mapping of names to classes.")
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
    if key in SCHEMA_ALONE:  # Convline reads their settings itself
        return []
    if not OmegaConf.is_dict(OmegaConf.select(cfg, key)):
        raise UserError(f"{key}={OmegaConf.select(cfg, key)} replaces {key}._target_: leave one of them out.")
    node: Any = OmegaConf.to_container(OmegaConf.select(cfg, key), resolve=False)
    parameters = parameters_of(locate(node["_target_"], f"{key}._target_"), node["_target_"])
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


def _nodes_by_key(node: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the dotted key and the content of every node with a `_target_` of a config as plain containers."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in items:
        if isinstance(child, dict) and "_target_" in child:
            yield f"{prefix}{name}", child
        yield from _nodes_by_key(child, f"{prefix}{name}.")


def _is_as_shipped(key: str, plain: dict[str, Any], node: DictConfig) -> bool:
    """Return whether a node's arguments need no look at its target: a schema has them, or Convline's files do."""
    target = plain["_target_"]
    if not isinstance(target, str) or target not in convline_targets() or target.partition(".")[0] in EXTRAS:
        return False
    schema = OmegaConf.get_type(node)
    if is_dataclass(schema):
        return key in SCHEMA_ALONE or set(plain) == {field.name for field in fields(schema)}
    return plain in convline_nodes()
