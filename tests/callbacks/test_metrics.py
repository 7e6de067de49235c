"""The numbers that callbacks show, worked out by hand with a fake clock and fake memory."""

import io
import resource
import sys
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from rich.console import Console

from convline.callbacks import progress, training_cost
from convline.callbacks.class_metrics import PrCurves
from convline.callbacks.progress import Progress
from convline.callbacks.training_cost import Memory, Throughput, peak_bytes
from convline.training.classifier import Classifier
from convline.training.evaluation import Evaluation


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (training_cost, progress):
        monkeypatch.setattr(module, "time", clock)
    return clock


def execution(num_images: int) -> Any:
    return SimpleNamespace(num_images=num_images)


class TestThroughput:
    def epoch(self, clock: Clock, callback: Throughput, trainer: Any, images: list[int], seconds: float) -> Any:
        classifier = Mock(spec=Classifier)
        for num_images in images:
            callback.on_train_batch_end(trainer, classifier, None, execution(num_images), 0)
        clock.now += seconds
        return classifier

    def test_images_of_all_ranks_by_the_seconds_of_training(self, clock: Clock) -> None:
        callback, trainer = Throughput(), Mock(world_size=2)
        callback.on_train_epoch_start(trainer, Mock())
        classifier = self.epoch(clock, callback, trainer, [64, 64, 32], seconds=4)
        callback.on_validation_start(trainer, classifier)
        clock.now += 50  # validation and checkpoint, which do not count
        callback.on_train_epoch_end(trainer, classifier)
        classifier.log_epoch.assert_called_once_with({"images/s": 40.0, "seconds/epoch": 4.0})  # 160 / 4

    def test_each_epoch_counts_anew_also_without_validation(self, clock: Clock) -> None:
        callback, trainer = Throughput(), Mock(world_size=1)
        for images, seconds, expected in (([100, 100], 2, 100.0), ([60], 3, 20.0)):
            callback.on_train_epoch_start(trainer, Mock())
            classifier = self.epoch(clock, callback, trainer, images, seconds)
            callback.on_train_epoch_end(trainer, classifier)
            classifier.log_epoch.assert_called_once_with({"images/s": expected, "seconds/epoch": float(seconds)})

    def test_an_epoch_that_is_resumed_counts_from_where_it_goes_on(self, clock: Clock) -> None:
        callback, trainer = Throughput(), Mock(world_size=1)
        callback.on_train_start(trainer, Mock())  # no start of an epoch
        classifier = self.epoch(clock, callback, trainer, [30], seconds=2)
        callback.on_train_epoch_end(trainer, classifier)
        classifier.log_epoch.assert_called_once_with({"images/s": 15.0, "seconds/epoch": 2.0})


class TestProgress:
    def trainer(self, position: int = 0) -> Any:
        loader = SimpleNamespace(position=position, num_batches=10)
        metrics = {"train/loss": 0.5, "train/acc": 0.75, "val/loss": 0.25, "val/acc": 0.875, "images/s": 12345.6}
        callback_metrics = {key: torch.tensor(value) for key, value in metrics.items()}
        return Mock(
            world_size=2, train_dataloader=loader, current_epoch=1, max_epochs=3, callback_metrics=callback_metrics
        )

    def shown(self, *, is_terminal: bool) -> tuple[Progress, io.StringIO]:
        callback, output = Progress(), io.StringIO()
        callback._console = Console(file=output, force_terminal=is_terminal, highlight=False, width=120)
        return callback, output

    def test_the_line_of_a_finished_epoch(self, clock: Clock) -> None:
        callback, output = self.shown(is_terminal=False)
        trainer = self.trainer()
        callback.on_train_start(trainer, Mock(spec=Classifier))
        callback.on_train_batch_end(trainer, Mock(spec=Classifier), None, execution(64), 0)
        callback.on_train_epoch_end(trainer, Mock())
        assert output.getvalue() == ""  # the metrics are logged after the hook
        callback.on_train_end(trainer, Mock())
        assert output.getvalue() == (
            "epoch   2/3  train loss 0.5000 acc 0.7500  val loss 0.2500 acc 0.8750  12,346 images/s\n"
        )

    def test_other_ranks_print_nothing(self, clock: Clock) -> None:
        callback, output = self.shown(is_terminal=False)
        callback.disable()
        callback.on_train_start(self.trainer(), Mock())
        callback.on_train_epoch_end(self.trainer(), Mock())
        callback.on_train_end(self.trainer(), Mock())
        assert output.getvalue() == ""

    def test_the_bar_shows_where_the_epoch_is_and_its_speed(self, clock: Clock) -> None:
        callback, _ = self.shown(is_terminal=True)
        trainer = self.trainer(position=4)  # resumed within an epoch
        callback.on_train_start(trainer, Mock(spec=Classifier))
        assert callback._bar is not None
        (task,) = callback._bar.tasks
        assert (task.completed, task.total, task.description) == (4, 10, "epoch 2/3")
        classifier = Mock(spec=Classifier, train_sums=SimpleNamespace(loss=0.25, accuracy=0.5))
        trainer.train_dataloader.position = 6
        clock.now += 0.5
        callback.on_train_batch_end(trainer, classifier, None, execution(64), 0)
        assert task.completed == 6
        assert task.fields["metrics"] == "loss 0.2500  acc 0.5000  128 images/s"  # 64 / 0.5 s
        clock.now += 0.05  # too early to draw again
        trainer.train_dataloader.position = 7
        callback.on_train_batch_end(trainer, classifier, None, execution(64), 0)
        assert task.completed == 6
        callback.teardown(trainer, classifier, "fit")
        assert callback._bar is None


class TestMemory:
    def test_of_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=3 * 2**20))
        monkeypatch.setattr(sys, "platform", "linux")
        assert peak_bytes(torch.device("cpu")) == 3 * 2**30
        monkeypatch.setattr(sys, "platform", "darwin")
        assert peak_bytes(torch.device("cpu")) == 3 * 2**20

    def test_of_the_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5 if device.index == 1 else 0)
        assert peak_bytes(torch.device("cuda", 1)) == 5

    def test_is_written_in_gibibytes_at_the_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        writer = Mock()
        monkeypatch.setattr(training_cost, "event_writer", lambda trainer: writer)
        monkeypatch.setattr(training_cost, "peak_bytes", lambda device: 3 * 2**29)
        Memory().on_train_epoch_end(Mock(global_step=34), Mock())
        writer.add_scalar.assert_called_once_with("memory/peak_GiB", 1.5, 34)


def test_precision_recall_curves_are_of_each_class_against_all_others() -> None:
    logits = torch.tensor([[1.0, 3.0], [1.0, 1.0], [4.0, 1.0]]).log()
    run = Mock(classes=("cat", "dog"))
    run.predictions.return_value = Evaluation(logits, torch.tensor([1, 0, 0]))
    writer = Mock()
    PrCurves().after_test(run, writer, 7)
    run.predictions.assert_called_once_with("val")
    expected = {"cat": ([False, True, True], [0.25, 0.5, 0.8]), "dog": ([True, False, False], [0.75, 0.5, 0.2])}
    for call, (name, (labels, probabilities)) in zip(writer.add_pr_curve.call_args_list, expected.items(), strict=True):
        assert (call.args[0], call.args[3]) == (f"validation/{name}", 7)
        assert call.args[1].tolist() == labels
        assert np.allclose(call.args[2], probabilities)
    PrCurves().after_test(run, None, 7)  # without TensorBoard
