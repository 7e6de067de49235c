"""Save and restore torch's random state, so that a resumed run draws the same dropout masks."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor


def gather_rng_state(module: LightningModule) -> dict[str, Any]:
    """Gather torch's random states of the CPU and of the device, each with one row a rank; every rank must call it."""
    states = {"cpu": torch.get_rng_state()}
    if module.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(module.device)
    if module.trainer.world_size > 1:
        gathered: dict[str, Any] = {k: module.all_gather(state.to(module.device)) for k, state in states.items()}
        return {key: state.cpu() for key, state in gathered.items()}
    return {key: state.unsqueeze(0) for key, state in states.items()}


def restore_rng_state(states: dict[str, Tensor], rank: int) -> None:
    """Restore a rank's row of `gather_rng_state`; a rank without a row keeps its present state."""
    for key, state in states.items():
        if rank >= len(state):
            continue
        row = state[rank].cpu().clone()  # torch ignores a view's offset, and would read the first row
        if key == "cpu":
            torch.set_rng_state(row)
        elif torch.cuda.is_available():
            torch.cuda.set_rng_state(row)
