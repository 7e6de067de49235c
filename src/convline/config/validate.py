"""Refuse what the types of the schemas allow and no run could use."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convline.config.class_folders import LAYOUT
from convline.config.metrics import declare, entries_of, lower_is_better, monitors
from convline.config.overrides import parse_overrides
from convline.config.ranges import ranges_of
from convline.config.schema import (
    CROSS_ENTROPY,
    Classifier,
    Data,
    FolderData,
    ModuleData,
    Train,
    Trainer,
    is_of_sweeps,
)
from convline.config.trainer_settings import REFUSED, WORKING, complaint_about
from convline.errors import UserError, user_error_in
from convline.formatting import first_line, nearest, shortened


def check(cfg: DictConfig) -> None:
    """Refuse settings that nothing reads, groups that were removed, and values that no run could use.

    Raises:
        UserError: names the key, its value and what it may be.
    """
    for key in ("data", "model", "classifier", "loss", "optimizer", "scheduler", "trainer"):
        if OmegaConf.is_missing(cfg, key) or not OmegaConf.is_dict(cfg[key]):
            raise UserError(
                f"'{key}' was taken out or replaced by a value, but a run needs it: choose one with {key}=NAME"
            )
    _check_present(cfg)
    _check_values(_resolved(cfg))
    images = "data.module" if "module" in cfg.data else "data.source"
    for key in ("data", images, "model", "classifier", "loss", "optimizer", "scheduler", "trainer"):
        if not (OmegaConf.select(cfg, f"{key}._target_") or ""):
            raise UserError(
                f"'{key}' names no _target_, which says what is built.\n  Put it into the option's file, such as\n"
                "  _target_: convline.network.build_network for a pattern, or _target_: PACKAGE.CLASS"
            )
    _check_ranges(cfg)
    _check_runs_dir(cfg)
    _check_trainer(cfg)
    _check_monitors(cfg)
    _check_combinations(cfg)


def check_truths(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse numbers for true and false: OmegaConf takes any but 0 for true.

    Args:
        cfg: the composed config.
        overrides: those that it was composed from.
    Raises:
        UserError: names the key and its value.
    """
    for override in parse_overrides(overrides):
        value = None if override.is_sweep_override() or override.is_delete() else override.value()
        if (
            type(value) is int
            and value not in (0, 1)
            and isinstance(OmegaConf.select(cfg, override.key_or_group), bool)
        ):
            raise UserError(f"{override.key_or_group}={value}: it must be true or false.")


def _check_trainer(cfg: DictConfig) -> None:
    """Refuse arguments of Lightning's Trainer that have no effect, or another one, and what it does not have."""
    if cfg.trainer._target_ != "lightning.pytorch.Trainer":  # one of the user's own, with arguments of its own
        return
    fields_of_schema = {field.name for field in fields(Trainer)}
    known = {*fields_of_schema, *WORKING, *REFUSED, "strategy", "num_nodes", "sync_batchnorm"}
    settings: Any = OmegaConf.to_container(cfg.trainer, resolve=True)
    for name, value in settings.items():
        if name not in known:
            raise UserError(f"trainer.{name}: Lightning's Trainer has no such argument{nearest(name, known)}.")
        if (name in WORKING or name in REFUSED) and (complaint := complaint_about(name, value)):
            raise UserError(complaint)


def _check_combinations(cfg: DictConfig) -> None:
    """Refuse settings that contradict each other."""
    if OmegaConf.select(cfg, "optimizer.nesterov") and not cfg.optimizer.momentum:
        raise UserError("optimizer.nesterov=true has no effect without momentum: add optimizer.momentum=0.9")
    loss = cfg.loss._target_
    for key, without in (("label_smoothing", 0), ("class_weights", "none")):
        if loss != CROSS_ENTROPY and cfg.classifier[key] != without:
            raise UserError(
                f"classifier.{key}={cfg.classifier[key]} belongs to loss=cross_entropy: {loss} has no such setting.\n"
                f"  Type: classifier.{key}={without}, or loss=cross_entropy"
            )
    least = OmegaConf.select(cfg, "trainer.min_epochs")
    if least is not None and least > cfg.trainer.max_epochs:
        raise UserError(
            f"trainer.min_epochs={least} is more than trainer.max_epochs={cfg.trainer.max_epochs}.\n"
            f"  Type: trainer.max_epochs={least}"
        )
    stopping = OmegaConf.select(cfg, "callbacks.early_stopping")
    if stopping and "mode" in stopping and (stopping.mode == "min") != lower_is_better(stopping.monitor):
        right = "min" if lower_is_better(stopping.monitor) else "max"
        raise UserError(
            f"callbacks.early_stopping.mode={stopping.mode} would stop when {stopping.monitor} gets better.\n"
            f"  Type: callbacks.early_stopping.mode={right}"
        )
    _check_scheduler(cfg)


def _check_scheduler(cfg: DictConfig) -> None:
    """Refuse settings of a schedule of torch that would have no effect, or the opposite of the one that is meant."""
    highest = cfg.scheduler.get("max_lr")
    if isinstance(highest, int | float) and "lr" in cfg.optimizer and highest != cfg.optimizer.lr:
        raise UserError(
            f"scheduler.max_lr={highest:g} would take the place of optimizer.lr={cfg.optimizer.lr:g}, which the run "
            f"would record.\n  Type: optimizer.lr={highest:g}, or scheduler.max_lr={cfg.optimizer.lr:g}"
        )
    interval = cfg.scheduler.get("interval")
    if interval not in (None, "step", "epoch"):
        raise UserError(f"scheduler.interval={interval}: it must be step or epoch.")
    if str(cfg.scheduler._target_).endswith(".ReduceLROnPlateau"):
        if interval == "step":
            raise UserError("ReduceLROnPlateau decides by a metric of an epoch.\n  Type: scheduler.interval=epoch")
        mode, monitor = cfg.scheduler.get("mode", "min"), cfg.scheduler.get("monitor", "val/loss")
        if (mode == "min") != lower_is_better(monitor):
            right = "min" if lower_is_better(monitor) else "max"
            raise UserError(
                f"scheduler.mode={mode} would lower the learning rate when {monitor} gets better.\n"
                f"  Type: scheduler.mode={right}"
            )


def _check_monitors(cfg: DictConfig) -> None:
    """Refuse a monitor that the run does not measure."""
    known = monitors(declare(entries_of(cfg)))
    callbacks = {
        name: str(entry.get("_target_"))
        for name, entry in (cfg.get("callbacks") or {}).items()
        if isinstance(entry, DictConfig)
    }
    has_foreign = not all(target.startswith(("convline.", "lightning.")) for target in callbacks.values())
    # a callback of the user's own may log metrics, which callbacks of Lightning may then watch
    names = ["checkpoint", "early_stopping"] if has_foreign else [*callbacks]
    for key in (*(f"callbacks.{name}.monitor" for name in names), "scheduler.monitor"):
        value = OmegaConf.select(cfg, key)
        if value is not None and value not in known:
            raise UserError(
                f"{key}={value} is not measured{nearest(value, known)}.\n  It may be {', '.join(known)};\n"
                "  the setting metrics adds others, such as metrics=[f1,auroc]"
            )


def check_of_sweeps(cfg: DictConfig) -> None:
    """Refuse values out of range of the settings that belong to sweeps alone; the others may still be lists.

    Raises:
        UserError: names the key, its value and what it may be.
    """
    _check_ranges(cfg, of_sweeps=True)
    launcher = cfg.hydra.launcher  # submitit's have these settings
    for key in ("tasks_per_node", "nodes"):
        if (value := launcher.get(key, 1)) != 1:
            raise UserError(
                f"hydra.launcher.{key}={value}: a job is one task on one node, and would leave the other tasks idle.\n"
                "  Leave it out. Several devices of a node: trainer.devices=2 hydra.launcher.gpus_per_node=2. "
                "Several nodes: convline slurm"
            )
    _check_runs_dir(cfg)


def _check_runs_dir(cfg: DictConfig) -> None:
    """Refuse the URL of an object store, which has neither the locks nor the atomic renames of a file system."""
    if "://" in str(cfg.runs_dir):
        raise UserError(
            f"runs_dir={cfg.runs_dir} is a URL, but a run needs locks and atomic renames, which object stores lack.\n"
            "  Type runs_dir=FOLDER, and copy the folder when the command has ended: aws s3 sync FOLDER s3://…\n"
            "  Machines that share no folder can share a search by a database: sweep.storage=postgresql+psycopg://…"
        )


def _check_ranges(cfg: DictConfig, of_sweeps: bool = False) -> None:
    """Refuse values out of range; with `of_sweeps`, check only the settings that belong to sweeps alone."""
    for key, allowed in ranges_of(cfg).items():
        if of_sweeps and not is_of_sweeps(key):
            continue
        value = OmegaConf.select(cfg, key)
        if not (value is None and allowed.takes_null) and not allowed.holds(value):
            raise UserError(f"{key}={shortened(str(value), 80)} is out of range: it must be {allowed.expected}.")


def _resolved(cfg: DictConfig) -> Any:
    """Return the whole config as plain containers; refuse settings without a value, and references to nothing."""
    if OmegaConf.is_missing(cfg.data, "root"):
        raise UserError(f"data.root has no value: name the folder that holds your images.\n{LAYOUT}")
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        if mistake := user_error_in(error):  # a folder whose classes cannot be counted
            raise mistake from error
        raise UserError(f"a setting has no value: {first_line(error)}") from error
    except RecursionError as error:
        raise UserError("a setting refers to itself, or its lists are nested too deep.") from error


def _check_values(node: Any, key: str = "") -> None:
    """Refuse numbers that are not numbers, and texts that no file can hold."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            _check_values(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for value in node:
            _check_values(value, key)
    elif isinstance(node, float) and math.isnan(node):
        raise UserError(f"{key}=nan is not a number: nothing can be computed with it.")
    elif isinstance(node, str) and ("\0" in node or any("\ud800" <= letter <= "\udfff" for letter in node)):
        raise UserError(f"{key}={node!r} holds a character that is no text in UTF-8.")


def _check_present(node: DictConfig, prefix: str = "") -> None:
    """Refuse a config without a setting that is read everywhere; other arguments are checked by their signatures."""
    schema = OmegaConf.get_type(node)
    if schema in (Train, Classifier, Data, FolderData, ModuleData, Trainer):
        known = {field.name for field in fields(schema)}
        for name in map(str, node):
            if name not in known and schema is not Trainer:
                raise UserError(f"'{prefix}{name}': nothing reads a setting of this name{nearest(name, known)}.")
        for field in fields(schema):
            if field.default is MISSING and field.name not in set(node):
                raise UserError(
                    f"'{prefix}{field.name}' was taken out, but a run needs it: leave out '~{prefix}{field.name}'."
                )
    for key in node:  # a number, in the argument of a foreign target
        # private: OmegaConf 2.3 has no public way to see a node without resolving it
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not (child._is_none() or child._is_missing() or child._is_interpolation()):
            _check_present(child, prefix + str(key) + ".")
