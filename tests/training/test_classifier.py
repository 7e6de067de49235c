"""The classifier's arithmetic, against loops written out here, in full and in mixed precision."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor, nn

from convline.callbacks.checkpoint import BestAndLast
from convline.training.classifier import Classifier
from convline.training.evaluation import evaluate
from convline.training.metrics import Sums
from convline.training.schedules import linear
from support.fitting import (
    NUM_CLASSES,
    batches_by_hand,
    fit,
    images_and_labels,
    make_data,
    make_network,
    metrics,
    sgd,
)


def assert_same(one: nn.Module, other: nn.Module, tolerance: float = 1e-5) -> None:
    expected = other.state_dict()
    assert one.state_dict().keys() == expected.keys()
    for key, value in one.state_dict().items():
        torch.testing.assert_close(
            value, expected[key], atol=tolerance, rtol=tolerance, msg=lambda m, k=key: f"{k}: {m}"
        )


def smoothed_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    target = torch.full_like(logits, smoothing / NUM_CLASSES)
    target[torch.arange(len(labels)), labels] += 1 - smoothing
    return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()


# --- arithmetic -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps_per_execution", [1, 2, 16])
def test_training_is_the_plain_loop(steps_per_execution: int, tmp_path: Path) -> None:
    """Two epochs of 48 images in batches of 9, 9, 9, 9, 9, 3, smoothed labels and a falling learning rate."""
    data = make_data(9, num_train=60, steps_per_execution=steps_per_execution)
    network = make_network(batch_norm=True)
    plain = deepcopy(network)
    classifier = fit(tmp_path, data, network, epochs=2, scheduler=linear, label_smoothing=0.1)

    optimizer = torch.optim.SGD(plain.parameters(), lr=0.5, momentum=0.9)
    step = 0
    for epoch in range(2):
        losses, hits = 0.0, 0
        for images, labels in batches_by_hand(data, epoch):
            optimizer.param_groups[0]["lr"] = 0.5 * (1 - step / 12)
            logits = plain(images)
            loss = smoothed_loss(logits, labels, 0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += loss.item() * len(labels)
            hits += int((logits.argmax(1) == labels).sum())
            step += 1
    assert step == 12
    assert_same(classifier.network, plain, 1e-4)
    measured = metrics(classifier)
    assert measured["train/loss"] == pytest.approx(losses / 48, rel=1e-4)
    assert measured["train/acc"] == pytest.approx(hits / 48)
    assert measured["lr"] == pytest.approx(0.5 / 12)  # of the last step


def test_validation_loss_is_the_cross_entropy_without_smoothing_per_image(tmp_path: Path) -> None:
    data = make_data()
    classifier = fit(tmp_path, data, make_network(batch_norm=True), label_smoothing=0.3)
    images, labels = images_and_labels(data, data.val_indices)
    assert len(labels) == 10  # a batch of 7 and one of 3: means of means would differ
    classifier.network.eval()
    with torch.no_grad():
        logits = classifier.network(images)
    measured = metrics(classifier)
    assert measured["val/loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)
    assert measured["val/acc"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())


def test_evaluation_outside_the_trainer_gives_the_figures_of_validation(tmp_path: Path) -> None:
    data = make_data()
    classifier = fit(tmp_path, data, make_network(batch_norm=True), ema_decay=0.5)
    evaluation = evaluate(classifier.evaluated_network, data.eval_loader("val", torch.device("cpu")), "32-true")
    assert evaluation.loss == pytest.approx(metrics(classifier)["val/loss"], rel=1e-5)
    assert evaluation.accuracy == pytest.approx(metrics(classifier)["val/acc"])


@pytest.mark.parametrize("steps_per_execution", [2, 4, 16])
@pytest.mark.parametrize("num_train", [50, 60])
def test_two_accumulated_batches_are_one_of_twice_the_size(
    num_train: int, steps_per_execution: int, tmp_path: Path
) -> None:
    """40 images in batches of 8 leave an odd one at the end, 48 do not."""
    accumulated = fit(
        tmp_path, make_data(8, num_train, steps_per_execution), make_network(), 2, accumulate_grad_batches=2
    )
    doubled = fit(tmp_path, make_data(16, num_train), make_network(), 2)
    assert_same(accumulated.network, doubled.network)
    assert accumulated.trainer.global_step == doubled.trainer.global_step == 6


def test_accumulated_batches_weigh_the_same_also_a_smaller_last_one(tmp_path: Path) -> None:
    # 40 images in batches of 11, 11, 11, 7: a step of the first two, and one of the last two
    network = make_network()
    plain = deepcopy(network)
    data = make_data(11, steps_per_execution=2)
    classifier = fit(tmp_path, data, network, accumulate_grad_batches=2)
    optimizer = sgd(plain.parameters())
    for number, (images, labels) in enumerate(batches_by_hand(data, 0)):
        (F.cross_entropy(plain(images), labels) / 2).backward()
        if number % 2 == 1:
            optimizer.step()
            optimizer.zero_grad()
    assert_same(classifier.network, plain)


@pytest.mark.parametrize(("accumulate", "per_epoch"), [(1, 5), (2, 3), (3, 2), (5, 1), (7, 1)])
def test_the_scheduler_gets_the_optimizer_steps_and_is_called_once_for_each(
    accumulate: int, per_epoch: int, tmp_path: Path
) -> None:
    run_lengths, steps = [], []

    def scheduler(total_steps: int, steps_per_epoch: int) -> Callable[[int], float]:
        run_lengths.append((total_steps, steps_per_epoch))
        return lambda step: steps.append(step) or 1.0

    data = make_data(steps_per_execution=accumulate)
    classifier = fit(tmp_path, data, make_network(), 2, scheduler=scheduler, accumulate_grad_batches=accumulate)
    assert run_lengths == [(2 * per_epoch, per_epoch)]
    assert sorted(set(steps)) == list(range(2 * per_epoch + 1))
    assert classifier.trainer.global_step == 2 * per_epoch


def test_clipping_bounds_the_norm_of_the_whole_gradient_as_torchs_does(tmp_path: Path) -> None:
    limit, network = 0.05, make_network()
    plain = deepcopy(network)
    data = make_data()
    norms = []

    class Norms(Callback):
        """The change of the weights, which is the clipped gradient where the learning rate is 1."""

        def __init__(self) -> None:
            self.before = nn.utils.parameters_to_vector(network.parameters()).detach().clone()

        def on_train_batch_end(self, *args: Any) -> None:
            now = nn.utils.parameters_to_vector(network.parameters()).detach().clone()
            norms.append((now - self.before).norm().item())
            self.before = now

    plain_sgd = partial(torch.optim.SGD, lr=1.0)
    fit(
        tmp_path,
        data,
        network,
        1,
        [Norms(), BestAndLast("val/acc")],
        optimizer=plain_sgd,
        gradient_clip_norm=limit,
    )
    optimizer = plain_sgd(plain.parameters())
    raw = []
    for images, labels in batches_by_hand(data, 0):
        optimizer.zero_grad()
        F.cross_entropy(plain(images), labels).backward()
        raw.append(nn.utils.clip_grad_norm_(plain.parameters(), limit).item())
        optimizer.step()
    assert min(raw) > limit  # otherwise nothing was clipped
    assert_same(network, plain)
    assert norms == pytest.approx([limit] * 5, rel=1e-3)


def test_clipping_leaves_a_gradient_below_the_limit_alone(tmp_path: Path) -> None:
    clipped = fit(tmp_path, make_data(), make_network(), gradient_clip_norm=1e6)
    assert_same(clipped.network, fit(tmp_path, make_data(), make_network()).network, 0)


def test_clipping_acts_on_the_accumulated_gradient(tmp_path: Path) -> None:
    settings = {"gradient_clip_norm": 0.05}
    accumulated = fit(
        tmp_path, make_data(8, steps_per_execution=2), make_network(), accumulate_grad_batches=2, **settings
    )
    doubled = fit(tmp_path, make_data(16), make_network(), **settings)
    assert_same(accumulated.network, doubled.network)


def test_the_average_is_the_recursion_over_steps_with_the_running_statistics(tmp_path: Path) -> None:
    """It begins with the weights after the first step; then a = d·a + (1 - d)·w, d = min(decay, (1 + n)/(10 + n))."""
    decay, network = 0.4, make_network(batch_norm=True)  # reached within these steps
    plain = deepcopy(network)
    data = make_data(steps_per_execution=2)
    classifier = fit(tmp_path, data, network, 2, ema_decay=decay)
    optimizer = sgd(plain.parameters())
    average: dict[str, Tensor] = {}
    num_updates = 0
    for epoch in range(2):
        for images, labels in batches_by_hand(data, epoch):
            optimizer.zero_grad()
            F.cross_entropy(plain(images), labels).backward()
            optimizer.step()
            now = {key: value.clone() for key, value in plain.state_dict().items() if value.is_floating_point()}
            d = min(decay, (1 + num_updates) / (10 + num_updates))
            average = {key: d * average.get(key, value) + (1 - d) * value for key, value in now.items()}
            num_updates += 1
    averaged = classifier.evaluated_network.state_dict()
    for key, value in average.items():
        torch.testing.assert_close(averaged[key], value, atol=1e-4, rtol=1e-4)
    assert_same(classifier.network, plain, 1e-4)
    assert not torch.allclose(averaged["0.weight"], classifier.network.state_dict()["0.weight"], atol=1e-3)


def test_the_average_is_what_is_validated(tmp_path: Path) -> None:
    data = make_data()
    classifier = fit(tmp_path, data, make_network(batch_norm=True), ema_decay=0.9)
    images, labels = images_and_labels(data, data.val_indices)
    losses = {}
    for name, network in (("raw", classifier.network), ("averaged", classifier.evaluated_network)):
        network.eval()
        losses[name] = F.cross_entropy(network(images), labels).item()
    assert metrics(classifier)["val/loss"] == pytest.approx(losses["averaged"], rel=1e-4)
    assert abs(losses["raw"] - losses["averaged"]) > 1e-2


def test_the_sums_of_batches_are_of_images() -> None:
    sums = Sums.of([1.0, 4.0], [2.0, 1.0], [3, 1]) + Sums.of([2.0], [2.0], [2])
    assert sums == Sums(loss_sum=11.0, num_correct=5, num_images=6, num_batches=3)
    assert sums.loss == pytest.approx(11 / 6)
    assert sums.accuracy == pytest.approx(5 / 6)


# --- mixed precision ------------------------------------------------------------------------------------------------


class Watch(nn.Module):
    """A network that notes the type of its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.types = make_network(), set[torch.dtype]()

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images)
        self.types.add(logits.dtype)
        return logits


def test_bf16_computes_in_bfloat16_and_keeps_the_weights_in_float32(tmp_path: Path) -> None:
    network = Watch()
    data = make_data()
    classifier = fit(tmp_path, data, network, 2, precision="bf16-mixed")
    assert network.types == {torch.bfloat16}
    assert {value.dtype for value in network.inner.state_dict().values()} == {torch.float32}
    full = fit(tmp_path, make_data(), make_network(), 2)
    assert_same(network.inner, full.network, 0.1)  # 8 bits of mantissa: 1 in 256 an operation
    with pytest.raises(AssertionError):
        assert_same(network.inner, full.network, 0)
    evaluation = evaluate(classifier.evaluated_network, data.eval_loader("val", torch.device("cpu")), "bf16-mixed")
    assert evaluation.loss == pytest.approx(metrics(classifier)["val/loss"], rel=1e-3)
    assert evaluation.accuracy == pytest.approx(metrics(classifier)["val/acc"])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_every_step_of_an_execution_sees_the_weights_of_the_step_before(precision: str, tmp_path: Path) -> None:
    """Autocast may keep its copies of the weights as long as it lasts, which is the whole execution."""
    one = fit(tmp_path, make_data(), make_network(), 2, precision=precision)
    four = fit(tmp_path, make_data(steps_per_execution=4), make_network(), 2, precision=precision)
    assert_same(one.network, four.network, 0)


@pytest.mark.parametrize(
    ("train_sums", "rank", "expected"),
    [
        ([11.0, 5.0, 6, 3], 0, Sums(11.0, 5.0, 6, 3)),  # of version 0.1: the first rank's alone
        ([11.0, 5.0, 6, 3], 1, Sums(11.0, 5.0, 6, 3)),
        ([[11.0, 5.0, 6.0, 3.0], [2.0, 1.0, 4.0, 3.0]], 0, Sums(11.0, 5.0, 6, 3)),
        ([[11.0, 5.0, 6.0, 3.0], [2.0, 1.0, 4.0, 3.0]], 1, Sums(2.0, 1.0, 4, 3)),
        ([[11.0, 5.0, 6.0, 3.0]] * 3, 0, Sums(33.0, 15.0, 18, 9)),  # of three ranks: the first takes them all
        ([[11.0, 5.0, 6.0, 3.0]] * 3, 1, Sums()),
    ],
)
def test_a_rank_restores_its_own_sums_also_from_a_checkpoint_of_version_0_1(
    train_sums: list[Any], rank: int, expected: Sums
) -> None:
    classifier = Classifier(make_network(), sgd, linear)
    classifier.trainer = SimpleNamespace(world_size=2, global_rank=rank)  # type: ignore[assignment]
    classifier.on_load_checkpoint({"train_sums": train_sums, "rng": {}})
    assert classifier.train_sums == expected


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_summed_loss_has_the_gradient_of_the_sum_over_all_images_of_a_step(accumulate: int, tmp_path: Path) -> None:
    """The first step in a loop written out; the curve stays the mean an image."""
    plain = partial(torch.optim.SGD, lr=0.01)
    data = make_data()
    data.limit_train_batches, data.steps_per_execution = accumulate, accumulate
    summed = fit(
        tmp_path, data, make_network(), optimizer=plain, loss_reduction="sum", accumulate_grad_batches=accumulate
    )
    network = make_network()
    batches = list(batches_by_hand(make_data(), epoch=0))[:accumulate]
    loss = sum(F.cross_entropy(network(images), labels, reduction="sum") for images, labels in batches)
    loss.backward()  # type: ignore[union-attr]
    for trained, parameter in zip(summed.network.parameters(), network.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(trained, parameter - 0.01 * parameter.grad)
    num_images = sum(len(labels) for _, labels in batches)
    assert metrics(summed)["train/loss"] == pytest.approx(float(loss) / num_images, rel=1e-5)
