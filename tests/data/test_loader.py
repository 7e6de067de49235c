"""The resident loader: every image once an epoch, in an order that can be taken up again anywhere."""

import itertools

import pytest
import torch

from convline.data.loader import Batch, LoaderConfig, ResidentLoader, count_batches
from convline.data.preprocess import Preprocessor

NUM_IMAGES = 23


def make_loader(
    num_images: int = NUM_IMAGES,
    batch_size: int = 5,
    order_seed: int | None = 0,
    steps_per_execution: int = 1,
    limit: int | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> ResidentLoader:
    """Image n is 1×2×2, full of n; so is its label."""
    labels = torch.arange(num_images)
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    mean, std = torch.tensor([0.0], dtype=torch.float64), torch.tensor([1 / 255], dtype=torch.float64)
    preprocessor = Preprocessor(mean, std, (1, 2, 2), torch.device("cpu"))
    config = LoaderConfig(batch_size, order_seed, steps_per_execution, limit, rank, world_size)
    return ResidentLoader(images, labels, torch.arange(num_images), preprocessor, config)


def batches(loader: ResidentLoader) -> list[Batch]:
    """The rest of the epoch, or the next one."""
    return [batch for execution in loader for batch in execution]


def labels(loader: ResidentLoader) -> list[list[int]]:
    return [batch_labels.tolist() for _, batch_labels in batches(loader)]


def flat(lists: list[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(lists))


@pytest.mark.parametrize("steps_per_execution", [1, 2, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 5, 23, 40])
def test_every_image_comes_once_an_epoch_with_its_label(batch_size: int, steps_per_execution: int) -> None:
    loader = make_loader(batch_size=batch_size, steps_per_execution=steps_per_execution)
    for _ in range(3):
        epoch = batches(loader)
        assert sorted(flat([of.tolist() for _, of in epoch])) == list(range(NUM_IMAGES))
        for images, of in epoch:
            torch.testing.assert_close(images, of.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2))


def test_the_last_batch_is_the_rest() -> None:
    assert [len(batch) for batch in labels(make_loader())] == [5, 5, 5, 5, 3]
    assert [len(batch) for batch in labels(make_loader(num_images=20))] == [5, 5, 5, 5]


def test_without_a_seed_the_order_is_the_stored_one_in_every_epoch() -> None:
    loader = make_loader(order_seed=None)
    assert flat(labels(loader)) == list(range(NUM_IMAGES))
    assert flat(labels(loader)) == list(range(NUM_IMAGES))


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_a_seed_shuffles_anew_in_every_epoch_and_the_same_way_each_time(seed: int) -> None:
    epochs = [flat(labels(loader)) for loader in [make_loader(order_seed=seed)] for _ in range(4)]
    assert len({tuple(order) for order in epochs}) == 4
    assert tuple(range(NUM_IMAGES)) not in {tuple(order) for order in epochs}
    loader = make_loader(order_seed=seed)
    assert [flat(labels(loader)) for _ in range(4)] == epochs


def test_no_two_seeds_and_epochs_share_an_order() -> None:
    orders = set()
    for seed in (0, 1, 2, 2**31, 2**32 - 2, 2**32 - 1):
        loader = make_loader(order_seed=seed)
        orders |= {tuple(flat(labels(loader))) for _ in range(5)}
    assert len(orders) == 30


def test_the_order_depends_on_nothing_global() -> None:
    torch.manual_seed(0)
    first = labels(make_loader())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert labels(make_loader()) == first
    assert torch.equal(torch.get_rng_state(), before)


def test_pixels_are_standardised_per_channel_as_worked_out_by_hand() -> None:
    images = torch.tensor([[[[0, 255]], [[51, 102]]]], dtype=torch.uint8)
    mean, std = torch.tensor([0.5, 0.2]).double(), torch.tensor([0.25, 0.1]).double()
    preprocessor = Preprocessor(mean, std, (2, 1, 2), torch.device("cpu"))
    loader = ResidentLoader(images, torch.tensor([0]), torch.tensor([0]), preprocessor, LoaderConfig(1))
    ((normalized, _),) = batches(loader)
    # (0 - 0.5) / 0.25, (1 - 0.5) / 0.25; (0.2 - 0.2) / 0.1, (0.4 - 0.2) / 0.1
    torch.testing.assert_close(normalized, torch.tensor([[[[-2.0, 2.0]], [[0.0, 2.0]]]]), atol=1e-6, rtol=0)
    assert normalized.dtype == torch.float32
    assert images.flatten().tolist() == [0, 255, 51, 102]


@pytest.mark.parametrize("channels_last", [True, False])
def test_batches_lie_in_the_asked_memory_format(channels_last: bool) -> None:
    images = torch.randint(0, 256, (6, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    zeros, ones = torch.zeros(3).double(), torch.ones(3).double()
    preprocessor = Preprocessor(zeros, ones, (3, 4, 5), torch.device("cpu"), channels_last)
    loader = ResidentLoader(images, torch.arange(6), torch.arange(6), preprocessor, LoaderConfig(4))
    for number, (batch, _) in enumerate(batches(loader)):
        assert batch.is_contiguous(memory_format=torch.channels_last) == channels_last
        assert batch.is_contiguous() == (not channels_last)
        torch.testing.assert_close(batch.contiguous(), images[4 * number : 4 * number + 4] / 255)


# --- executions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 1, 3, 4])
@pytest.mark.parametrize("steps_per_execution", [1, 2, 3, 5, 9])
def test_executions_tell_their_batches_and_images(steps_per_execution: int, limit: int | None) -> None:
    loader = make_loader(steps_per_execution=steps_per_execution, limit=limit)
    seen = []
    for execution in loader:
        num_images = execution.num_images  # before it is used up
        sizes = [len(of) for _, of in execution]
        assert len(execution) == len(sizes)
        assert num_images == sum(sizes)
        seen.append(len(sizes))
    total = limit or 5
    assert seen == [steps_per_execution] * (total // steps_per_execution) + (
        [total % steps_per_execution] if total % steps_per_execution else []
    )
    assert len(loader) == len(seen)


def test_executions_do_not_change_the_order() -> None:
    whole = labels(make_loader())
    for steps_per_execution in (2, 3, 5, 9):
        assert labels(make_loader(steps_per_execution=steps_per_execution)) == whole


def test_a_limit_takes_the_first_batches_of_each_epochs_order() -> None:
    whole, limited = make_loader(), make_loader(limit=2)
    for _ in range(3):
        assert labels(limited) == labels(whole)[:2]
    assert labels(make_loader(limit=100)) == labels(make_loader())


# --- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", range(11))
def test_a_loader_taken_up_at_any_position_gives_what_came_next(taken: int) -> None:
    """Two epochs of five batches, interrupted after `taken` of them; 0, 5 and 10 lie between epochs."""
    reference = make_loader()
    expected = labels(reference) + labels(reference)
    first = make_loader()
    given: list[list[int]] = []
    while len(given) < taken:
        for execution in first:
            given += [of.tolist() for _, of in execution]
            if len(given) == taken:
                break
    second = make_loader()
    second.load_state_dict(first.state_dict())
    while len(given) < 10:
        given += labels(second)
    assert given == expected


def test_a_state_moves_a_used_loader_back() -> None:
    loader = make_loader()
    state = loader.state_dict()
    first = labels(loader)
    second = labels(loader)
    assert first != second
    loader.load_state_dict(state)
    assert [labels(loader), labels(loader)] == [first, second]


def test_a_state_loaded_between_two_batches_holds_for_the_next_one() -> None:
    loader = make_loader()
    expected = [labels(loader), labels(loader)]
    loader.load_state_dict({"epoch": 0, "position": 2})
    assert loader.next_batch()[1].tolist() == expected[0][2]
    loader.load_state_dict({"epoch": 1, "position": 3})
    assert loader.next_batch()[1].tolist() == expected[1][3]


def test_a_state_is_of_plain_numbers_and_stays_as_it_was_taken() -> None:
    loader = make_loader()
    labels(loader)
    list(next(iter(loader)))
    state = loader.state_dict()
    assert state == {"epoch": 1, "position": 1}
    labels(loader)
    assert state == {"epoch": 1, "position": 1}


def test_in_the_middle_of_an_epoch_an_execution_begins_where_the_last_one_ended() -> None:
    loader = make_loader(steps_per_execution=2)
    loader.load_state_dict({"epoch": 0, "position": 1})
    executions = [(len(execution), execution.num_images, sum(len(of) for _, of in execution)) for execution in loader]
    assert executions == [(2, 10, 10), (2, 8, 8)]


# --- several ranks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("num_images", range(12, 31))
def test_ranks_divide_the_batches_of_one_process(num_images: int, world_size: int) -> None:
    alone = make_loader(num_images, 8)
    loaders = [make_loader(num_images, 8, rank=rank, world_size=world_size) for rank in range(world_size)]
    for _ in range(2):
        for whole, *shares in zip(labels(alone), *map(labels, loaders), strict=True):
            if len(whole) < world_size:  # every rank takes all of them
                assert shares == [whole] * world_size
            else:
                assert flat(shares) == whole
                assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_mean_over_ranks_of_weighted_means_is_the_mean_of_the_batch() -> None:
    # 19 = 8 + 8 + 3 on two ranks: the last batch has 2 and 1 images, which count 2 × 2/3 and 1 × 2/3
    loaders = [make_loader(19, 8, None, rank=rank, world_size=2) for rank in (0, 1)]
    assert [[loader.share(position) for position in range(3)] for loader in loaders] == [
        [1.0, 1.0, pytest.approx(4 / 3)],
        [1.0, 1.0, pytest.approx(2 / 3)],
    ]
    means = [[sum(batch) / len(batch) for batch in labels(loader)] for loader in loaders]
    weighted = [sum(m[2] * loader.share(2) for m, loader in zip(means, loaders, strict=True)) / 2]
    assert weighted == [pytest.approx(sum(labels(make_loader(19, 8, None))[2]) / 3)]
    assert make_loader(17, 8, rank=1, world_size=2).share(2) == 1.0  # one image, which both ranks take


@pytest.mark.parametrize("num_images", [23, 24, 25, 26, 29])
def test_executions_count_the_images_of_all_ranks(num_images: int) -> None:
    counted = 0
    for execution in make_loader(num_images, 8, None, 2, rank=1, world_size=3):
        assert len(execution.shares) == len(list(execution))
        counted += execution.num_images
    assert counted == num_images


@pytest.mark.parametrize(
    ("arguments", "expected"), [((23, 5), 5), ((25, 5), 5), ((4, 5), 1), ((23, 5, 2), 2), ((23, 5, 9), 5)]
)
def test_count_batches_by_hand(arguments: tuple[int, ...], expected: int) -> None:
    assert count_batches(*arguments) == expected
