"""Batches of a LightningDataModule of one's own: their order, their random numbers, and where a loader goes on."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from convline.config.first_batch import RandomState
from convline.data.from_datamodule import FromDataModule
from convline.data.loader import Loader, LoaderConfig
from convline.errors import UserError
from support.own_images import BarsModule

CPU = torch.device("cpu")


def make(seed: int = 3, **settings: Any) -> FromDataModule:
    module = BarsModule(**settings)
    module.setup("fit")
    data = FromDataModule(module, [1, 8, 8], 2, seed)
    data.read()
    return data


def loader_of(data: FromDataModule, steps: int = 2) -> Loader:
    return data.training_loader(CPU, LoaderConfig(data.batch_size, data.seed, steps))


def batches(loader: Loader, epochs: int) -> list[torch.Tensor]:
    return [images for _ in range(epochs) for execution in loader for images, _ in execution]


@pytest.mark.parametrize(
    "settings", [{}, {"generator": True}, pytest.param({"num_workers": 1}, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("position", [4, 8])
def test_a_loader_goes_on_where_it_was(settings: dict[str, Any], position: int) -> None:
    expected = batches(loader_of(make(**settings)), 3)
    assert len(expected) == 18
    assert not any(torch.equal(expected[0], other) for other in expected[1:])  # every epoch is shuffled anew
    first = loader_of(make(**settings))
    seen = []
    for _ in range(2):
        for execution in first:
            seen += [images for images, _ in execution]
            if len(seen) == position:
                break
        if len(seen) == position:
            break
    second = loader_of(make(**settings))
    second.load_state_dict(first.state_dict())
    seen += batches(second, 2 if position == 8 else 3)
    assert all(torch.equal(*pair) for pair in zip(expected, seen, strict=True))


def test_the_order_is_one_of_the_seed() -> None:
    one, same, other = (batches(loader_of(make(seed)), 1) for seed in (3, 3, 4))
    assert all(torch.equal(*pair) for pair in zip(one, same, strict=True))
    assert not torch.equal(one[0], other[0])


def test_random_numbers_of_the_process_stay_as_they_are() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    expected = torch.rand(2).tolist(), np.random.rand(), random.random()
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    batches(loader_of(make()), 1)
    assert (torch.rand(2).tolist(), np.random.rand(), random.random()) == expected


def test_a_random_state_goes_on_where_it_was_left() -> None:
    state, parts = RandomState(1, 2), []
    for _ in range(2):
        with state.active():
            parts.append((torch.rand(()).item(), np.random.rand(), random.random()))
    with RandomState(1, 2).active():
        again = [(torch.rand(()).item(), np.random.rand(), random.random()) for _ in range(2)]
    assert parts == again
    assert parts[0] != parts[1]


def test_counts_and_records() -> None:
    data = make()
    assert data.split_record() | {"fingerprint": ""} == {"train": 96, "val": 24, "fingerprint": ""}
    assert (data.num_train_batches, data.smallest_share(1), data.batch_size) == (6, 16, 16)
    assert data.fingerprint() == make(seed=8).fingerprint()
    assert data.num_eval_images("test") == 40
    images, labels = data.eval_images("val", torch.tensor([13, 2]))
    assert torch.equal(images[1], data.module.sets[1][2][0])
    assert labels.tolist() == [1, 0]


def test_a_test_set_that_has_changed_is_not_evaluated() -> None:
    data = make()
    data.module.setup = lambda stage: None
    data.module.sets[2].images[0] += 1
    with pytest.raises(UserError, match="the test set has changed"):
        data.eval_loader("test", CPU)
    data.module.sets[2].images[0] -= 1


class Hooked(BarsModule):
    """Does a part of its work in the hooks around the transfer to a device."""

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] + 1, batch[1]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] * 2, batch[1]


def test_the_hooks_around_the_transfer_of_a_batch_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = batches(loader_of(make()), 1)
    monkeypatch.setitem(globals(), "BarsModule", Hooked)
    hooked = batches(loader_of(make()), 1)
    assert all(torch.equal((a + 1) * 2, b) for a, b in zip(plain, hooked, strict=True))
