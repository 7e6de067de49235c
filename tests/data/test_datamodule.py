"""The data module: what fits is split and served, what does not is explained."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convline.data.datamodule import DataModule
from convline.data.loader import Loader, ResidentLoader
from convline.data.sources import Images, SplitName, synthetic
from convline.errors import UserError
from support.data_modules import SHAPE, make_data


def attach(data: DataModule, rank: int = 0, world_size: int = 1) -> DataModule:
    """What of a trainer the data module looks at."""
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(strategy=strategy, global_rank=rank, world_size=world_size)  # type: ignore[assignment]
    data.setup("fit")
    return data


def images_of(loader: Loader) -> torch.Tensor:
    return torch.cat([images for execution in loader for images, _ in execution])


def stored(loader: Loader) -> torch.Tensor:
    assert isinstance(loader, ResidentLoader)
    return loader.images[loader.indices]


def labels_of(loader: Loader) -> list[int]:
    return [int(label) for execution in loader for _, labels in execution for label in labels]


# --- what fits ------------------------------------------------------------------------------------------------------


def test_training_and_validation_are_the_official_training_set_and_nothing_else() -> None:
    data = attach(make_data())
    official = data._source("train").images
    train, val = data.train_dataloader(), data.val_dataloader()
    assert (len(train.indices), len(val.indices)) == (48, 12)
    pieces = [image.numpy().tobytes() for loader in (train, val) for image in stored(loader)]
    assert sorted(pieces) == sorted(image.numpy().tobytes() for image in official)


def test_batches_are_standardised_by_the_training_split_alone() -> None:
    data = attach(make_data())
    pixels = images_of(data.train_dataloader())
    assert pixels.mean().item() == pytest.approx(0, abs=1e-5)
    assert pixels.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    raw = stored(data.val_dataloader()).double() / 255
    expected = (raw - data.mean) / data.std
    torch.testing.assert_close(images_of(data.val_dataloader()).double(), expected, atol=1e-5, rtol=0)


def test_training_is_shuffled_and_validation_is_not() -> None:
    data = attach(make_data())
    train, val = data.train_dataloader(), data.val_dataloader()
    assert labels_of(train) != data.train_labels[data.train_indices].tolist()
    assert labels_of(val) == data.train_labels[data.val_indices].tolist()


def test_the_official_test_set_is_checked_at_the_start_and_read_when_asked_for() -> None:
    asked: list[str] = []
    plain = make_data()

    def source(split_name: SplitName) -> Images:
        asked.append(split_name)
        return plain._source(split_name)

    data = attach(make_data(source=source))
    data.train_dataloader(), data.val_dataloader(), data.fingerprint(), data.eval_loader("val", torch.device("cpu"))
    assert asked == ["train", "test"]
    loader = data.eval_loader("test", torch.device("cpu"))
    assert asked == ["train", "test", "test"]
    assert torch.equal(loader.images, plain._source("test").images)
    assert labels_of(loader) == [n % 3 for n in range(15)]


def test_a_source_of_files_is_given_its_folder_first() -> None:
    asked: list[Any] = []

    def source(root: Path, split_name: SplitName) -> Images:
        asked.append((root, split_name))
        return synthetic(split_name, 60, 15, SHAPE, 3, 0.3, 0)

    make_data(source=source, root="folder").read()
    assert asked == [(Path("folder"), "train"), (Path("folder"), "test")]


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("limit", [None, 1, 2])
def test_num_train_batches_is_what_every_rank_gets(world_size: int, limit: int | None) -> None:
    for rank in range(world_size):
        data = attach(make_data(limit_train_batches=limit), rank, world_size)
        batches = [batch for execution in data.train_dataloader() for batch in execution]
        assert len(batches) == data.num_train_batches


@pytest.mark.parametrize("world_size", [2, 5])
def test_ranks_validate_on_different_images_and_together_on_all(world_size: int) -> None:
    loaders = [attach(make_data(), rank, world_size).val_dataloader() for rank in range(world_size)]
    pieces = [image.numpy().tobytes() for loader in loaders for image in images_of(loader)]
    assert len(set(pieces)) == len(pieces) == 12


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, [48, 12, 12, 15]),
        ({"limit_train_batches": 2}, [20, 12, 12, 15]),
        ({"limit_val_batches": 1}, [48, 7, 7, 15]),
        ({"limit_test_batches": 2}, [48, 12, 12, 14]),
    ],
    ids=str,
)
def test_each_limit_counts_the_batches_of_its_own_part(limits: dict[str, int], expected: list[int]) -> None:
    data = attach(make_data(**limits))
    loaders = [data.train_dataloader(), data.val_dataloader()]
    loaders += [data.eval_loader(split_name, torch.device("cpu")) for split_name in ("val", "test")]
    assert [len(labels_of(loader)) for loader in loaders] == expected


def test_overfit_batches_validates_on_the_batches_that_it_trains_on_in_every_epoch() -> None:
    data = attach(make_data(overfit_batches=2))
    loader = data.train_dataloader()
    first = images_of(loader)
    assert len(first) == 20
    assert torch.equal(images_of(loader), first)
    assert torch.equal(images_of(data.val_dataloader()), first)


def test_the_training_seed_orders_batches_but_does_not_move_the_split() -> None:
    one, other = attach(make_data(seed=0)), attach(make_data(seed=1))
    assert torch.equal(one.val_indices, other.val_indices)
    assert not torch.equal(images_of(one.train_dataloader()), images_of(other.train_dataloader()))


@pytest.mark.parametrize("taken", range(6))
def test_a_state_lets_another_module_go_on_where_this_one_was(taken: int) -> None:
    data = attach(make_data())
    loader = data.train_dataloader()
    executions = iter(loader)
    for _ in range(taken):
        list(next(executions))
    other = attach(make_data())
    other.load_state_dict(data.state_dict())
    theirs = other.train_dataloader()
    for _ in range(2):
        assert torch.equal(images_of(loader), images_of(theirs))


def test_a_state_taken_before_training_is_the_beginning() -> None:
    other = attach(make_data())
    other.load_state_dict(make_data().state_dict())
    assert torch.equal(images_of(other.train_dataloader()), images_of(attach(make_data()).train_dataloader()))


# --- what does not fit ----------------------------------------------------------------------------------------------


def color(split_name: SplitName) -> Images:
    return synthetic(split_name, 60, 15, (3, 3, 3), 3, 0.3, 0)


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ({"num_classes": 10}, "the data are in 3 classes, but the config says 10.\n  Type: data.num_classes=3"),
        ({"source": color}, "the data have 3 channels, but the config says 1; only gray images can be repeated.\n"
         "  Type: data.channels=3"),
    ],
)  # fmt: skip
def test_data_that_do_not_fit_the_config_are_described_with_what_to_type(overrides: dict, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        make_data(**overrides).read()
    assert complaint in str(caught.value)


def test_a_test_set_of_another_shape_is_refused() -> None:
    def source(split_name: SplitName) -> Images:
        return synthetic(split_name, 60, 15, SHAPE if split_name == "train" else (1, 4, 4), 3, 0.3, 0)

    with pytest.raises(UserError, match="the training images are 1×3×3, but those of the test set 1×4×4"):
        make_data(source=source).read()


def test_a_batch_larger_than_the_training_split_is_refused_and_one_as_large_is_not() -> None:
    with pytest.raises(UserError, match=r"data\.batch_size=49 is larger than the 48 training images") as caught:
        make_data(batch_size=49).read()
    assert "data.batch_size=32" in str(caught.value)
    data = attach(make_data(batch_size=48))
    assert len(labels_of(data.train_dataloader())) == 48


def test_a_test_set_that_changes_meanwhile_is_not_evaluated() -> None:
    plain, seen = make_data(), []

    def source(split_name: SplitName) -> Images:
        images = plain._source(split_name)
        if split_name == "test":
            seen.append(split_name)
            images.images[0].view(-1)[0] += len(seen) > 1
        return images

    data = make_data(source=source)
    data.read()
    with pytest.raises(UserError, match="the test set has changed since the run began"):
        data.eval_loader("test", torch.device("cpu"))


def test_overfitting_and_the_preview_mix_the_classes_of_sorted_files() -> None:
    plain = make_data(num_train=90)

    def source(split_name: SplitName) -> Images:
        images = plain._source(split_name)
        order = images.labels.argsort(stable=True)
        return Images(images.images[order], images.labels[order], images.classes)

    data = attach(make_data(num_train=90, source=source, overfit_batches=2, batch_size=8))
    assert set(labels_of(data.train_dataloader())) == {0, 1, 2}
    assert labels_of(data.train_dataloader()) == labels_of(data.val_dataloader())


def test_attributes_are_declared_before_the_data_are_read() -> None:
    data = make_data()
    for indices in (data.train_indices, data.val_indices, data.train_labels):
        assert indices.dtype == torch.int64
        assert len(indices) == 0
    assert (len(data.mean), len(data.std), data.classes, data.pipeline) == (0, 0, (), None)
    data.read()
    assert len(data.train_indices) > 0
    assert len(data.classes) == 3
