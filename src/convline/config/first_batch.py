"""Read input shape and number of classes from a LightningDataModule of the user's own, when a config is composed.

The network of a config depends on both, and the module states neither. `RandomState` keeps what the module
draws from the process's own random numbers.
"""

import functools
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from convline.config.signatures import locate
from convline.errors import UserError
from convline.formatting import first_line


class RandomState:
    """Hold a state of the global generators of torch, NumPy and Python beside that of the process.

    Args:
        seeds: numbers that determine the state.
    """

    def __init__(self, *seeds: int) -> None:
        import numpy as np
        import torch

        numbers = np.random.SeedSequence(seeds).generate_state(3).tolist()
        before = _global_state()
        torch.default_generator.manual_seed(numbers[0])
        np.random.seed(numbers[1])
        random.seed(numbers[2])
        self._state = _global_state()
        _set_global_state(before)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Put the state into the generators for the block, and the process's own back after it."""
        before = _global_state()
        _set_global_state(self._state)
        try:
            yield
        finally:
            self._state = _global_state()
            _set_global_state(before)


def _global_state() -> tuple[Any, Any, Any]:
    import numpy as np
    import torch

    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def _set_global_state(state: tuple[Any, Any, Any]) -> None:
    import numpy as np
    import torch

    torch.set_rng_state(state[0])
    np.random.set_state(state[1])
    random.setstate(state[2])


def first_batch(what: str, *, _root_: DictConfig) -> Any:
    """Return "input_shape", "channels" or "num_classes" of `data.module`; a resolver of `conf/data/datamodule.yaml`.

    Raises:
        UserError: the module cannot be built, or its batches are not images with labels.
    """
    node: Any = OmegaConf.to_container(_root_.data.module, resolve=True)
    return _first_batch(json.dumps(node))[what]


@functools.lru_cache(8)
def _first_batch(node: str) -> dict[str, Any]:
    settings = json.loads(node)
    with RandomState(0).active():
        module = build_module(settings)
        images, targets = batch_of(transferred(next(iter(loader_of(module, "train"))), module), "train")
        classes = class_names(module)
        num_classes = getattr(module, "num_classes", None) or len(classes)
        if not num_classes and targets.ndim == 2:
            num_classes = targets.shape[1]
        if not num_classes:
            labels = [
                targets,
                *(batch_of(transferred(batch, module), "val")[1] for batch in loader_of(module, "val")),
            ]
            num_classes = 1 + max(int(each.max()) for each in labels)
    return {"input_shape": list(images.shape[1:]), "channels": images.shape[1], "num_classes": int(num_classes)}


def build_module(settings: dict[str, Any]) -> Any:
    """Build a data module from its config node, and let it prepare its data for training.

    Raises:
        UserError: it is no LightningDataModule, or it raises an error.
    """
    from lightning.pytorch import LightningDataModule

    target = settings["_target_"]
    found = locate(target, "data.module._target_")
    if isinstance(found, type) and not issubclass(found, LightningDataModule):
        raise UserError(
            f"data.module._target_={target} is no LightningDataModule.\n"
            "  A torch Dataset, or a function that returns images, is typed: data.source._target_=…"
        )
    try:
        module = instantiate(settings, _convert_="all")
        module.prepare_data()
        module.setup("fit")
    except InstantiationException as error:
        cause = error.__cause__ or error
        raise UserError(
            f"data.module: {target} cannot be built: {type(cause).__name__}: {first_line(cause)}"
        ) from error
    except Exception as error:
        raise UserError(
            f"data.module: {target} cannot prepare its data: {type(error).__name__}: {first_line(error)}\n"
            "  debug=true shows where"
        ) from error
    return module


def loader_of(module: Any, split: str) -> Any:
    """Return a module's loader of a split, "train", "val" or "test".

    Raises:
        UserError: it has none, or several, or one that does not state its length.
    """
    name = type(module).__name__
    try:
        with RandomState(0).active():  # one that draws random numbers of its own gives the same loader each time
            loader = getattr(module, f"{split}_dataloader")()
    except Exception as error:  # Lightning raises MisconfigurationException for a method that is not there
        raise UserError(
            f"data.module: {name}.{split}_dataloader fails: {first_line(error)}\n"
            "  A run needs train_dataloader, val_dataloader (chooses the checkpoint) and test_dataloader (used once)"
        ) from error
    if isinstance(loader, list | tuple | dict) or loader is None:
        raise UserError(f"data.module: {name}.{split}_dataloader gives {type(loader).__name__} instead of one loader.")
    try:
        num_batches = len(loader)
    except TypeError as error:
        raise UserError(
            f"data.module: the loader of {name}.{split}_dataloader has no length, which the learning-rate schedule "
            "needs.\n  Give its dataset a __len__"
        ) from error
    if not num_batches:
        raise UserError(f"data.module: the loader of {name}.{split}_dataloader is empty.")
    return loader


def transferred(batch: Any, module: Any) -> Any:
    """Return a batch after the hooks of a data module around the transfer to a device; here they run on the host."""
    import torch

    batch = module.on_before_batch_transfer(batch, 0)
    batch = module.transfer_batch_to_device(batch, torch.device("cpu"), 0)
    return module.on_after_batch_transfer(batch, 0)


def batch_of(batch: Any, split: str) -> tuple[Any, Any]:
    """Return the images N×C×H×W and the targets, N or N×classes, of a batch.

    Raises:
        UserError: it is something else.
    """
    from torch import Tensor

    expected = "(images, labels): floats N×C×H×W and whole numbers N, or N×classes for several labels"
    if not isinstance(batch, list | tuple) or len(batch) < 2 or not all(isinstance(b, Tensor) for b in batch[:2]):
        raise UserError(f"data.module: a {split} batch is {type(batch).__name__}, but expected is {expected}.")
    images, targets = batch[:2]
    if images.ndim != 4 or not images.is_floating_point() or targets.ndim not in (1, 2) or len(images) != len(targets):
        raise UserError(
            f"data.module: a {split} batch holds {_described(images)} and {_described(targets)}, but expected is "
            f"{expected}.\n  Images are used as they are: their transform makes floats, such as torchvision's ToTensor"
        )
    return images, targets


def class_names(module: Any) -> tuple[str, ...]:
    """Return the names of the classes: `classes` of the module or of its validation set; () if it states none."""
    dataset = getattr(loader_of(module, "val"), "dataset", None)
    found = getattr(module, "classes", None) or getattr(dataset, "classes", None) or ()
    return tuple(map(str, found))


def _described(tensor: Any) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {'×'.join(map(str, tensor.shape))}"
