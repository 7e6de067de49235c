"""Config -> data, network, classifier."""

import json
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from convline.data.datamodule import DataModule
from convline.data.source_cache import cached_source
from convline.errors import UserError
from convline.training.classifier import Classifier

LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches")


def build(cfg: DictConfig) -> tuple[DataModule, Classifier]:
    """Data and classifier of a config, seeded; the data are read and checked.

    Raises:
        UserError: a part of the config does not fit.
    """
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    pl.seed_everything(cfg.seed, verbose=False)
    data = data_of(cfg)
    if cfg.tta is not None and not data.flip_invariant:
        data.notices.append(f"warning: tta={cfg.tta} mirrors images, but mirrored ones show another class or none")
    if cfg.tta == "flip+shift" and min(data.input_shape[1:]) < 2:
        raise UserError("tta=flip+shift moves images by a pixel, for which they need at least 2×2.\n  Type: tta=flip")
    network = instantiated(cfg, "model")
    classifier = instantiated(cfg, "classifier")(
        network=network,
        class_weights=data.class_weights() if cfg.classifier.class_weights == "balanced" else None,
        optimizer=instantiated(cfg, "optimizer"),
        scheduler=instantiated(cfg, "scheduler"),
        channels_last=cfg.channels_last,
        compile=cfg.compile,
    )
    return data, classifier


def data_of(cfg: DictConfig) -> DataModule:
    """The data of a config, read and checked.

    Raises:
        UserError: the files are missing or damaged, or do not fit the config.
    """
    settings: Any = OmegaConf.to_container(cfg.data, resolve=True)
    depends_on = {key: settings[key] for key in ("source", "root") if key in settings}
    data = instantiated(
        cfg,
        "data",
        without=("source", "channels", "image_size"),  # the last two make input_shape, which the data module takes
        source=cached_source(instantiated(cfg, "data.source"), json.dumps(depends_on)),
        seed=cfg.seed,
        steps_per_execution=cfg.steps_per_execution * cfg.classifier.accumulate_grad_batches,
        channels_last=cfg.channels_last,
        **{key: cfg.trainer[key] for key in LIMITS},
    )
    data.read()
    return data


def initial_network(cfg: DictConfig) -> nn.Module:
    """The network of a config as `build` makes it, before any training; torch's random state is left alone.

    Raises:
        UserError: it cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        return instantiated(cfg, "model")


def instantiated(cfg: DictConfig, key: str, without: tuple[str, ...] = (), **extra: Any) -> Any:
    """Make the object that a part of the config describes; what its class says of wrong arguments is for the user.

    Args:
        cfg: the whole config.
        key: of the part, which has a `_target_`.
        without: keys of the part that its class does not take.
        extra: further arguments.
    Raises:
        UserError: the object cannot be made.
    """
    node: Any = OmegaConf.to_container(OmegaConf.select(cfg, key), resolve=True)
    try:
        return instantiate({k: v for k, v in node.items() if k not in without}, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, UserError):
            raise cause from error
        if isinstance(cause, ValueError):  # says itself what is wrong; a pattern's error draws the place
            raise UserError(str(cause)) from error
        remedy = "\n  Type trainer=auto for what is there." if key == "trainer" else ""
        raise UserError(f"{key} cannot be made as it is configured: {cause}{remedy}") from error
