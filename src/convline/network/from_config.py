"""Build a config's network without its data."""

from typing import Any

import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from convline.errors import UserError
from convline.network.summary import NetworkSummary, summarize


def meta_network(cfg: DictConfig) -> tuple[nn.Module, NetworkSummary]:
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
