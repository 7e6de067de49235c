"""torch's random state, saved and restored: dropout goes on where it was."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor


def random_state(module: LightningModule) -> dict[str, Any]:
    """torch's random states, one row a rank: every rank comes here, though only the first one writes the file."""
    states = {"cpu": torch.get_rng_state()}
    if module.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(module.device)
    if module.trainer.world_size > 1:
        gathered: dict[str, Any] = {k: module.all_gather(state.to(module.device)) for k, state in states.items()}
        return {key: state.cpu() for key, state in gathered.items()}
    return {key: state.unsqueeze(0) for key, state in states.items()}


def set_random_state(states: dict[str, Tensor], rank: int) -> None:
    """Take back this rank's row of `random_state`; a rank that was not there keeps what it has."""
    for key, state in states.items():
        if rank >= len(state):
            continue
        own = state[rank].cpu().clone()  # torch reads the storage from its beginning, whatever the view
        if key == "cpu":
            torch.set_rng_state(own)
        elif torch.cuda.is_available():
            torch.cuda.set_rng_state(own)
