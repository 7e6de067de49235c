"""Check the config of a run directory, which may have been edited, as the command line checks overrides."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convline.config.options import CONF_DIR
from convline.config.ranges import ranges_of
from convline.config.schema import SCHEMAS, Data, FolderData, Train
from convline.formatting import first_line

# Nodes and settings without which nothing can be built; version 0.1 has written them too.
NODES = ("data", "model", "classifier", "optimizer", "scheduler", "trainer")
SETTINGS = ("seed", "channels_last", "steps_per_execution", "runs_dir")
NEEDED = {  # by node and target, since a target of the user's own has others
    ("data", "convline.data.datamodule.DataModule"): ("input_shape", "num_classes", "batch_size"),
    ("data", "convline.data.from_datamodule.FromDataModule"): ("input_shape", "num_classes"),
    ("trainer", "lightning.pytorch.Trainer"): ("accelerator", "devices", "precision", "max_epochs"),
}


def complaint_of_structure(content: Any, key: str = "") -> str:
    """Return what of a stored config is no setting; an empty text if nothing is.

    Config.yaml holds values, so that a reference in it was put there by somebody: `${…}` could read the environment or
    build what it names as soon as the config is read.
    """
    if isinstance(content, Mapping):
        for name, value in content.items():
            if not isinstance(name, str | int):
                return f"{key}.{name} is no name of a setting"
            if complaint := complaint_of_structure(value, f"{key}.{name}" if key else str(name)):
                return complaint
        target = content.get("_target_", "")
        return "" if isinstance(target, str) else f"{key}._target_ must be the name of a class"
    if isinstance(content, list):
        complaints = (complaint_of_structure(value, f"{key}[{index}]") for index, value in enumerate(content))
        return next(filter(None, complaints), "")
    if isinstance(content, str) and "${" in content.replace("\\${", ""):
        return f"{key} refers to another setting ({content[:40]}), but a run holds values"
    return ""


def complaint_of_values(cfg: DictConfig) -> str:
    """Return what of a run's config is missing, of another type or out of range; an empty text if nothing is."""
    for key in NODES:
        if not (OmegaConf.is_dict(cfg.get(key)) and isinstance(cfg[key].get("_target_"), str)):
            return f"it holds no {key} with a _target_"
    for key in ("callbacks", "logger", "loss"):
        node = cfg.get(key)
        if node is not None and not OmegaConf.is_dict(node):
            return f"{key} must be a mapping"
        if key != "loss" and (name := next((name for name, child in (node or {}).items() if not _is_node(child)), "")):
            return f"{key}.{name} names no class"
    needed = [f"{node}.{name}" for node in NODES for name in NEEDED.get((node, cfg[node]["_target_"]), ())]
    for key in (*SETTINGS, *needed):
        if OmegaConf.select(cfg, key) is None:
            return f"it holds no {key}"
    return next(_wrong_values(cfg), "")


def _is_node(child: Any) -> bool:
    return child is None or (OmegaConf.is_dict(child) and isinstance(child.get("_target_"), str))


def _wrong_values(cfg: DictConfig) -> Iterator[str]:
    """Yield the values that the schemas refuse."""
    typed = {
        "": (Train, cfg),
        **{key: (schema, OmegaConf.select(cfg, key)) for key, schema in _schemas_of(cfg).items()},
    }
    for key, (schema, node) in typed.items():
        prefix = f"{key}." if key else ""
        empty, known = OmegaConf.structured(schema), [field.name for field in fields(schema) if field.name in node]
        try:
            merged = OmegaConf.merge(empty, {name: node[name] for name in known})
        except OmegaConfBaseException:
            for name in known:  # one by one, as the error does not name the setting in each case
                try:
                    OmegaConf.merge(empty, {name: node[name]})
                except OmegaConfBaseException as error:
                    yield f"{prefix}{name}={node[name]}: {first_line(error)}"
            continue
        assert isinstance(merged, DictConfig)
        for name, allowed in ranges_of(merged).items():
            value = OmegaConf.select(merged, name)
            if value is not None and not allowed.holds(value):
                yield f"{prefix}{name}={value} is out of range: it must be {allowed.expected}"


def _schemas_of(cfg: DictConfig) -> dict[str, type]:
    """Return the schema of each node whose target an option with a schema names."""
    found = {}
    callbacks = [f"callbacks.{name}" for name in cfg.get("callbacks") or {}]
    for key in (*NODES, *callbacks):
        node = OmegaConf.select(cfg, key)
        schema = _schemas().get(node["_target_"]) if node else None
        if schema is not None:
            found[key] = FolderData if key == "data" and "root" in node else schema
    return found


@functools.cache
def _schemas() -> dict[str, type]:
    """Return the schema of each target, from the options that name both."""
    found: dict[str, type] = {"convline.data.datamodule.DataModule": Data}  # which several schemas share
    for file in CONF_DIR.rglob("*.yaml"):
        content = yaml.safe_load(file.read_text()) or {}
        for entry in content.get("defaults", ()):
            text = entry if isinstance(entry, str) else ""
            if text.startswith("/schema/"):
                name, _, package = text.removeprefix("/schema/").partition("@")
                node = content if package == "_here_" else content.get(package) or {}
                if isinstance(node, dict) and "_target_" in node:
                    found[node["_target_"]] = SCHEMAS[name]
    return found
