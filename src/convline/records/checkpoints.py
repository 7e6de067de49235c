"""Load the checkpoints of a run directory; a damaged one is refused, and so is one that holds code.

That a file loads does not make it a checkpoint of this run: `load_checkpoint` checks that it holds weights,
`complaint_of_training_state` that training can go on from it, and `load_weights` that they are those of the network.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convline.errors import UserError
from convline.formatting import first_line, shape_text
from convline.records.files import RunFileError, check_ordinary

if TYPE_CHECKING:
    from torch import nn

MAX_NAMES = 3  # of parameters, in a message


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load the tensors and plain values of a checkpoint onto the CPU; code in it is refused, not executed.

    Raises:
        UserError: the file is missing or damaged, holds no weights, or holds code.
    """
    import torch  # takes seconds, which reading a folder of runs need not wait for

    try:
        check_ordinary(path)
    except RunFileError as error:
        raise UserError(f"the checkpoint {path} {error.problem}.{_remedy(path)}") from error
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not a zip file")
        with zipfile.ZipFile(path) as archive:
            # torch compresses nothing; what is compressed could grow without limit
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is compressed")
            if broken := archive.testzip():
                raise ValueError(f"the check sum of {broken} is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
            raise ValueError("it holds no weights")
        for name, value in checkpoint["state_dict"].items():
            if not (isinstance(name, str) and isinstance(value, torch.Tensor)):
                raise ValueError(f"{name} is {type(value).__name__} instead of a tensor")
    except pickle.UnpicklingError as error:
        raise UserError(
            f"the checkpoint {path} holds more than tensors and plain values, and was not loaded: it could run code.\n"
            f"  {first_line(error)}"
        ) from error
    except Exception as error:
        raise UserError(f"the checkpoint {path} is damaged: {first_line(error)}.{_remedy(path)}") from error
    return checkpoint


def _remedy(path: Path) -> str:
    """Say what can be done without a checkpoint."""
    other = path.with_name("last.ckpt" if path.name == "best.ckpt" else "best.ckpt")
    copy = f"\n  Put a copy of it back; metrics and curves of the run remain: convline report {path.parent.parent}"
    return f"{copy}\n  {other} is there." if other.is_file() else copy


def load_weights(network: nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    """Load weights into a network, if they are those of a network like it; see `check_weights`."""
    check_weights(network, weights, path)
    network.load_state_dict(dict(weights))


def check_weights(network: nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    """Check that weights are those of a network like this one.

    Args:
        network: a network, or a module around it.
        weights: tensors by the names that the network gives them.
        path: the checkpoint that holds them, for the message.
    Raises:
        UserError: a weight is missing, is not the network's, or has another shape.
    """
    expected = network.state_dict()
    differences = [f"{name} is missing" for name in expected if name not in weights]
    differences += [f"{name} is none of the network" for name in weights if name not in expected]
    differences += [
        f"{name} is {shape_text(value.shape) or 'a number'} instead of {shape_text(expected[name].shape) or 'a number'}"
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    differences += [
        f"{name} holds complex numbers" for name in weights if name in expected and weights[name].is_complex()
    ]
    if differences:
        more = f" and {len(differences) - MAX_NAMES} more" if len(differences) > MAX_NAMES else ""
        raise UserError(
            f"the checkpoint {path} is of another network: {', '.join(differences[:MAX_NAMES])}{more}.\n"
            "  Put back the checkpoint of this run, or the settings of the network in config.yaml."
        )


def complaint_of_training_state(checkpoint: Mapping[str, Any]) -> str:
    """Return what a checkpoint lacks of what training goes on from; an empty text if it has all."""
    kinds: dict[str, Any] = {
        "epoch": int, "global_step": int, "loops": dict, "callbacks": dict, "optimizer_states": list,
        "lr_schedulers": list, "train_sums": list, "rng": dict,
    }  # fmt: skip
    for key, kind in kinds.items():
        value = checkpoint.get(key)
        if key not in checkpoint:
            return f"it holds no {key}"
        if not isinstance(value, kind) or isinstance(value, bool) or (kind is int and value < 0):
            return f"{key} is of another type than expected"
    groups = [
        state.get("param_groups") if isinstance(state, dict) else None for state in checkpoint["optimizer_states"]
    ]
    if not groups or not all(isinstance(group, list) and group for group in groups):
        return "optimizer_states holds no state of an optimizer"
    if not checkpoint["train_sums"] or not all(_holds_numbers(row) for row in _rows(checkpoint["train_sums"])):
        return "train_sums holds no numbers"
    return ""


def _rows(sums: list[Any]) -> list[Any]:
    return sums if isinstance(sums[0], list) else [sums]  # version 0.1 has those of one rank


def _holds_numbers(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 4 and all(isinstance(value, int | float) for value in row)


def newest_checkpoint(run_dir: Path) -> tuple[Path | None, list[str]]:
    """Find the checkpoint to continue a run from: the last one, or the best one if the last one is damaged.

    Returns:
        Its path, or None if the run has not written any; and a message for each that is damaged.
    Raises:
        UserError: all checkpoints of the run are damaged.
    """
    messages = []
    for name in ("last.ckpt", "best.ckpt"):
        path = run_dir / "checkpoints" / name
        if not os.path.lexists(path):
            continue
        try:
            complaint = complaint_of_training_state(load_checkpoint(path))
        except UserError as error:
            messages.append(str(error))
        else:
            if not complaint:
                return path, messages
            messages.append(f"the checkpoint {path} is none that training goes on from: {complaint}.")
    if messages:
        raise UserError(f"{run_dir} holds no checkpoint that can be used:\n  " + "\n  ".join(messages))
    return None, []
