"""Check the state in a checkpoint before training goes on from it.

Lightning restores optimizers, loops and callbacks as they come: a state of another run would fail, or be wrong, in the
middle of training. So each is compared with that of the objects that are to take it over.
"""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from convline.errors import UserError
from convline.formatting import first_line
from convline.records.checkpoints import check_weights
from convline.training.classifier import Classifier

# Private in Lightning 2.6: the module that restores states. If it moves, its errors keep their traceback.
_RESTORING = "lightning.pytorch.trainer.connectors.checkpoint_connector"


def check_training_state(
    checkpoint: Mapping[str, Any], path: Path, classifier: Classifier, data: pl.LightningDataModule, trainer: pl.Trainer
) -> None:
    """Check that the state in a checkpoint fits network, optimizer, loops and callbacks of a run.

    Args:
        checkpoint: the content of the file, which holds what `complaint_of_training_state` asks for.
        path: the file.
        classifier: the module of the run.
        data: the data of the run.
        trainer: the trainer that is to go on.
    Raises:
        UserError: names what does not fit.
    """
    epoch, max_epochs = checkpoint["epoch"], trainer.max_epochs
    if max_epochs is not None and 0 < max_epochs <= epoch:
        raise UserError(
            f"trainer.max_epochs={max_epochs} in {path.parent.parent / 'config.yaml'} is less than the {epoch + 1} "
            f"epochs that the run has begun.\n  Write there: max_epochs: {epoch + 1}, or more"
        )
    check_weights(classifier, checkpoint["state_dict"], path)
    complaint = _complaint_of_optimizer(checkpoint["optimizer_states"], classifier)
    complaint = complaint or _complaint_of_schedules(checkpoint["lr_schedulers"])
    complaint = complaint or _complaint_of_random_state(checkpoint["rng"])
    position = checkpoint.get(type(data).__qualname__) or {}
    if not _resembles({"epoch": 0, "position": 0}, position) or min([0, *position.values()]) < 0:
        complaint = complaint or "the position in its images is no number"
    if not _resembles(trainer.fit_loop.state_dict(), checkpoint["loops"].get("fit_loop")):
        complaint = complaint or "the counts of its loops are of another type than expected"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        state = checkpoint["callbacks"].get(callback.state_key)
        if state is not None and not _resembles(callback.state_dict(), state):
            complaint = complaint or f"the state of {type(callback).__name__} is of another type than expected"
    if complaint:
        raise _unusable(path, complaint)


def error_of_restoring(error: Exception, path: Path) -> UserError | None:
    """Return the error for the user if Lightning raised an error while it restored a state; else None."""
    if any(frame.f_globals.get("__name__") == _RESTORING for frame, _ in traceback.walk_tb(error.__traceback__)):
        return _unusable(path, f"{type(error).__name__}: {first_line(error)}")
    return None


def _unusable(path: Path, complaint: str) -> UserError:
    other = path.with_name("best.ckpt")
    remedy = f"\n  To go on from {other}, move the file away." if path != other and other.is_file() else ""
    return UserError(
        f"the checkpoint {path} is not of this run: {complaint}.\n"
        f"  Put back the one that was there, or the settings in config.yaml.{remedy}"
    )


def _complaint_of_optimizer(states: list[Any], classifier: Classifier) -> str:
    """Return in what the states of the optimizers differ from that of a new one."""
    optimizer = classifier.build_optimizer()
    expected = optimizer.state_dict()["param_groups"]
    if len(states) != 1:
        return f"it holds the states of {len(states)} optimizers, not of one"
    groups = states[0]["param_groups"]
    if len(groups) != len(expected):
        return f"its optimizer has {len(groups)} groups of parameters instead of {len(expected)}"
    complaints = (_complaint_of_group(group, reference) for group, reference in zip(groups, expected, strict=True))
    return next(filter(None, complaints), "") or _complaint_of_moments(states[0].get("state"), optimizer)


def _complaint_of_group(group: Any, reference: Mapping[str, Any]) -> str:
    if not (isinstance(group, dict) and isinstance(group.get("params"), list) and "lr" in group):
        return "a group of parameters of its optimizer holds no parameters or no learning rate"
    if len(group["params"]) != len(reference["params"]):
        return f"its optimizer has {len(group['params'])} parameters instead of {len(reference['params'])}"
    for name, value in reference.items():
        if name in group and not _resembles(value, group[name]):
            return f"{name} of its optimizer is {group[name]!r:.40}"
    return ""


def _complaint_of_moments(state: Any, optimizer: torch.optim.Optimizer) -> str:
    """Return which state of a parameter, such as its momentum, is none of it."""
    if not isinstance(state, dict):
        return "its optimizer has no states of parameters"
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    is_of_torch = type(optimizer).__module__.startswith("torch.optim.")  # whose states have the parameters' shapes
    for index, values in state.items():
        if not (isinstance(index, int) and 0 <= index < len(parameters) and isinstance(values, dict)):
            return f"its optimizer has a state for {index!r:.40}, which is no parameter"
        for name, value in values.items() if is_of_torch else ():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameters[index].shape:
                return f"{name} of its optimizer has another shape than the parameter"
            if not (value is None or isinstance(value, int | float | Tensor)):
                return f"{name} of its optimizer is {type(value).__name__}"
    return ""


def _complaint_of_schedules(states: list[Any]) -> str:
    for state in states:
        reference = {"last_epoch": 0, "_step_count": 0, "base_lrs": [0.0], "_last_lr": [0.0]}
        if not (isinstance(state, dict) and _resembles({k: v for k, v in reference.items() if k in state}, state)):
            return "the state of its schedule is of another type than expected"
    return ""


def _complaint_of_random_state(states: Mapping[str, Any]) -> str:
    size = torch.get_rng_state().numel()
    for name, state in states.items():
        is_state = isinstance(state, Tensor) and state.dtype == torch.uint8 and state.ndim == 2 and len(state) > 0
        if not is_state or (name == "cpu" and state.shape[1] != size):
            return "its random state is none of torch's"
    return ""


def _resembles(reference: Any, value: Any) -> bool:
    """Return whether a value has the structure and the types of a reference; None in either resembles anything."""
    if reference is None or value is None:
        return True
    if isinstance(reference, bool):
        return isinstance(value, bool)
    if isinstance(reference, int | float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number or (isinstance(value, Tensor) and value.numel() == 1)
    if isinstance(reference, Tensor):
        return (isinstance(value, Tensor) and value.shape == reference.shape) or isinstance(value, int | float)
    if isinstance(reference, Mapping):
        # what is missing, Lightning itself asks for: another version of it may have saved less
        return isinstance(value, Mapping) and all(_resembles(v, value[k]) for k, v in reference.items() if k in value)
    if isinstance(reference, list | tuple):
        is_list = isinstance(value, list | tuple)
        return is_list and (not reference or all(_resembles(reference[0], each) for each in value))
    return isinstance(value, type(reference))
