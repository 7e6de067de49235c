"""Compose the config from `conf/` with Hydra."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, open_dict

from convline.config import schema
from convline.config.options import (
    CONF_DIR,
    groups,
    import_folders,
    make_importable,
    option_file,
    own_files,
    own_folders,
)
from convline.config.overrides import expand_sweep


def compose_config(overrides: tuple[str, ...]) -> tuple[DictConfig, dict[str, str]]:
    """Compose a config, and return it with the option chosen in each group. The result is cached: do not change it.

    Raises:
        UserError: two folders have a chosen option.
    """
    make_importable(import_folders())
    return _compose_config(overrides, (tuple(own_folders()), own_files()))


@functools.lru_cache(256)
def _compose_config(overrides: tuple[str, ...], _: object) -> tuple[DictConfig, dict[str, str]]:
    cfg = _compose_with_hydra_node(overrides)
    choices = choices_of(cfg.hydra)
    check_choices(choices)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices


def _compose_with_hydra_node(overrides: Sequence[str]) -> DictConfig:
    """Compose a config that keeps Hydra's own node, and leave Hydra set up as it was."""
    schema.register()
    previous = GlobalHydra.instance().hydra  # inside a job, Hydra is already set up
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            return compose("train", list(overrides), return_hydra_config=True)
    finally:
        GlobalHydra.instance().clear()
        GlobalHydra.instance().hydra = previous


def choices_of(hydra_cfg: Any) -> dict[str, str]:
    """Return the option chosen in each of our groups, from Hydra's own node."""
    return {k: v for k, v in hydra_cfg.runtime.choices.items() if v and not k.startswith(("hydra", "schema", "sweep"))}


def check_choices(choices: Mapping[str, str]) -> None:
    """Check that each chosen option is in one folder only.

    Raises:
        UserError: it is in two.
    """
    known = groups()
    for group, option in choices.items():
        if option in known.get(group, []):
            option_file(group, option)


def sweep_params(overrides: Sequence[str]) -> dict[str, str]:
    """Return `hydra.sweeper.params`: the lists of values that an experiment file adds to a sweep.

    Args:
        overrides: the overrides of the sweep.
    """
    cfg = _compose_with_hydra_node(expand_sweep(overrides)[0])
    return {str(key): str(values) for key, values in cfg.hydra.sweeper.params.items()}
