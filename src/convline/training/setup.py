"""Build data module, network and classifier from a config."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchmetrics import MetricCollection

from convline.config.first_batch import build_module
from convline.config.metrics import declare, entries_of
from convline.config.schema import CROSS_ENTROPY, ONE_LABEL_LOSSES
from convline.config.signatures import OUR_OWN, locate
from convline.config.trainer_settings import takes_cuda
from convline.data.datamodule import DataModule
from convline.data.source_cache import cached_source
from convline.data.sources.from_dataset import from_dataset
from convline.errors import UserError
from convline.training.classifier import Classifier
from convline.training.metrics import build_metrics
from convline.training.optimizers import ParameterGroups

# settings of the trainer that limit batches; the data module applies them, since it builds the loaders
LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches")

# what the nodes of a config must give; classifier, optimizer and scheduler are partial functions
KINDS: dict[str, type] = {
    "model": nn.Module,
    "trainer": pl.Trainer,
    "callbacks.*": pl.Callback,
    "logger.*": Logger,
}


def build(cfg: DictConfig) -> tuple[DataModule, Classifier]:
    """Seed all random generators, read and check the data, and build the classifier with its network.

    Raises:
        UserError: a setting of the config is invalid, or does not fit the data.
    """
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    pl.seed_everything(cfg.seed, verbose=False)
    data = load_data(cfg)
    if cfg.tta is not None and not data.flip_invariant:
        data.notices.append(f"warning: tta={cfg.tta} mirrors images, but mirrored ones show another class or none")
    if cfg.tta == "flip+shift" and min(data.input_shape[1:]) < 2:
        raise UserError("tta=flip+shift moves images by a pixel, for which they need at least 2×2.\n  Type: tta=flip")
    network = instantiate_node(cfg, "model")
    grouping: Any = OmegaConf.to_container(cfg.optimizer, resolve=True)
    classifier = instantiate_node(cfg, "classifier")(
        network=network,
        loss=build_loss(cfg),
        class_weights=data.class_weights() if cfg.classifier.class_weights == "balanced" else None,
        optimizer=instantiate_node(cfg, "optimizer", without=OUR_OWN["optimizer"], _partial_=True),
        scheduler=instantiate_node(cfg, "scheduler", without=OUR_OWN["scheduler"], _partial_=True),
        parameter_groups=ParameterGroups(**{key: grouping[key] for key in OUR_OWN["optimizer"] if key in grouping}),
        **{f"scheduler_{key}": cfg.scheduler[key] for key in OUR_OWN["scheduler"] if key in cfg.scheduler},
        metrics=build_metrics_of(cfg, data),
        is_multilabel=data.is_multilabel,
        channels_last=cfg.channels_last,
        compile=cfg.compile,
    )
    return data, classifier


def build_loss(cfg: DictConfig) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Build the loss of a config; None is cross-entropy, which the classifier computes itself.

    Raises:
        UserError: the loss has parameters to be learned.
    """
    if not cfg.get("loss") or cfg.loss._target_ == CROSS_ENTROPY:  # runs of version 0.1 have no loss
        return None
    is_class = isinstance(locate(cfg.loss._target_, "loss._target_"), type)
    loss = instantiate_node(cfg, "loss", _partial_=not is_class)
    if isinstance(loss, nn.Module) and (learned := [name for name, p in loss.named_parameters() if p.requires_grad]):
        raise UserError(
            f"loss._target_={cfg.loss._target_} has parameters to be learned, {', '.join(learned[:5])}, but an "
            "optimizer gets those of the network alone.\n  Make them buffers, or let the network hold them"
        )
    return loss


def build_metrics_of(cfg: DictConfig, data: DataModule) -> MetricCollection:
    """Build the metrics that a config names beside loss and accuracy; see `build_metrics`."""
    entries = entries_of(cfg)
    declare(entries)
    return build_metrics(entries, data.num_classes, data.is_multilabel)


def load_data(cfg: DictConfig) -> DataModule:
    """Build the data module of a config; read and check its data.

    Raises:
        UserError: the files are missing or damaged, or do not fit the config.
    """
    settings: Any = OmegaConf.to_container(cfg.data, resolve=True)
    if "module" in settings:
        return _load_module(cfg, settings["module"])
    source_settings = {key: settings[key] for key in ("source", "root") if key in settings}
    source = cached_source(_source_of(cfg), json.dumps(source_settings))
    # input_shape is computed from the last two
    return _read(cfg, without=("source", "channels", "image_size"), source=source)


def _load_module(cfg: DictConfig, node: dict[str, Any]) -> DataModule:
    """Build the data of a config from a LightningDataModule of the user's own."""
    if cfg.trainer.devices > 1:
        raise UserError(
            f"trainer.devices={cfg.trainer.devices}: the batches of data.module are those of one device.\n"
            "  Type: trainer.devices=1"
        )
    return _read(cfg, without=("module", "channels"), module=build_module(node))


def _read(cfg: DictConfig, without: tuple[str, ...], **origin: Any) -> DataModule:
    """Build the data module of a config from the origin of its images; read and check the data."""
    data = instantiate_node(
        cfg,
        "data",
        without=without,
        **origin,
        seed=cfg.seed,
        steps_per_execution=cfg.steps_per_execution * cfg.classifier.accumulate_grad_batches,
        channels_last=cfg.channels_last,
        **{key: cfg.trainer[key] for key in LIMITS},
    )
    data.read()
    _check_loss(cfg, data)
    return data


def uses_cuda(cfg: DictConfig) -> bool:
    """Return whether a config trains on a GPU of NVIDIA or AMD, of those that torch sees here."""
    return takes_cuda(cfg) and torch.cuda.is_available()


def _check_loss(cfg: DictConfig, data: DataModule) -> None:
    """Refuse a loss whose classes exclude each other for images with several labels; one of the user's own may be any.

    Raises:
        UserError: names the loss, and the one to type.
    """
    target = cfg.loss._target_ if cfg.get("loss") else CROSS_ENTROPY
    if data.is_multilabel and target in ONE_LABEL_LOSSES:
        name = str(target).rpartition(".")[2]
        raise UserError(
            f"these images have several labels each, but {name} takes one label an image.\n  Type: loss=bce"
        )


def _source_of(cfg: DictConfig) -> Callable[..., Any]:
    """Build the source of a config; a torch Dataset is read through `from_dataset`."""
    target = locate(cfg.data.source._target_, "data.source._target_")
    # a class whose objects are sources says `_partial_: false`
    partial_by_default: dict[str, Any] = {} if "_partial_" in cfg.data.source else {"_partial_": True}
    source = instantiate_node(cfg, "data.source", **partial_by_default)
    is_dataset = isinstance(target, type) and issubclass(target, Dataset)
    return partial(from_dataset, make=source) if is_dataset else source


def build_initial_network(cfg: DictConfig) -> nn.Module:
    """Build the network of a config with the initial weights of its run; torch's random state is not changed.

    Raises:
        UserError: the network cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        return instantiate_node(cfg, "model")


def instantiate_node(cfg: DictConfig, key: str, without: tuple[str, ...] = (), **extra: Any) -> Any:
    """Instantiate the `_target_` of a config node, and turn errors of its arguments into a `UserError`.

    Args:
        cfg: the whole config.
        key: the node's key, such as "data.source".
        without: keys of the node that are no arguments.
        extra: further arguments.
    Raises:
        UserError: the object cannot be built.
    """
    node: Any = OmegaConf.to_container(OmegaConf.select(cfg, key), resolve=True)
    try:
        made = instantiate({k: v for k, v in node.items() if k not in without}, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, UserError):
            raise cause from error
        if isinstance(cause, ValueError):  # its text is written for the user, such as a pattern's error
            raise UserError(str(cause)) from error
        remedy = "\n  Type trainer=auto for what is there." if key == "trainer" else ""
        raise UserError(f"{key} cannot be made as it is configured: {cause}{remedy}") from error
    group, _, name = key.partition(".")
    expected = KINDS.get(f"{group}.*" if name else group, object)
    if not isinstance(made, expected):
        target = node["_target_"]
        raise UserError(f"{key}: {target} gives {type(made).__name__}, but must give a {expected.__name__}.")
    return made
