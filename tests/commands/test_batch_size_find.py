"""The search for the largest batch size."""

import re
from pathlib import Path

import pytest
import torch

from convline.commands import batch_size_find as command
from convline.commands.batch_size_find import TrainingSteps, find_largest
from convline.config import load_config
from convline.errors import UserError
from convline.machine import available_memory, memory_limit
from support.commands import assert_one_screen, convline, run_dirs

TINY = ["data=synthetic", "data.source.num_train=300", "data.source.num_test=50", "trainer=cpu"]


@pytest.mark.parametrize(
    ("limit", "largest", "tried"),
    [
        (21, 1000, [2, 4, 8, 16, 32, 24, 20, 22, 21]),
        (1000, 50, [2, 4, 8, 16, 32, 50]),
        (64, 64, [2, 4, 8, 16, 32, 64]),
        (49, 50, [2, 4, 8, 16, 32, 50, 41, 45, 47, 48, 49]),
        (1, 50, [2]),
    ],
)
def test_sizes_are_doubled_and_then_bisected(limit: int, largest: int, tried: list[int]) -> None:
    asked = []

    def fits(size: int) -> bool:
        asked.append(size)
        return size <= limit

    assert find_largest(fits, largest) == max([size for size in tried if size <= limit], default=0)
    assert asked == tried


def test_large_sizes_are_found_to_one_in_32() -> None:
    found = find_largest(lambda size: size <= 5000, 10**6)
    assert 5000 * 32 / 33 <= found <= 5000


def test_a_gpu_that_runs_out_of_memory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Simulated: more than 40 images at once raise the error of torch.cuda."""
    step = TrainingSteps._step

    def limited(self: TrainingSteps, images: torch.Tensor, targets: torch.Tensor) -> None:
        if len(images) > 40:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        step(self, images, targets)

    monkeypatch.setattr(TrainingSteps, "_step", limited)
    assert command.batch_size_find(TINY, 1, 8192) == 40
    out = capsys.readouterr().out
    assert re.search(r"^ +64 +– +too much$", out, re.MULTILINE)
    assert "Type: data.batch_size=40" in out
    monkeypatch.setattr(TrainingSteps, "_step", lambda *_: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError()))
    with pytest.raises(UserError, match="not even 2 images fit"):
        command.batch_size_find(TINY, 1, 8192)


def test_no_size_is_tried_that_may_need_more_than_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 MiB without steps, 101 in steps of 32 images: 64 images need at most 2 MiB, of which 1 is there already."""
    steps = TrainingSteps(load_config(TINY))
    steps._idle_memory, steps._last_size = 100 * 2**20, 32
    monkeypatch.setattr(command, "_peak_memory", lambda: 101 * 2**20)
    monkeypatch.setattr(command, "_resident_memory", lambda: 101 * 2**20)
    assert steps._memory_at_most(64) == 2**20
    monkeypatch.setattr(command, "available_memory", lambda: 2 * 2**20)
    assert steps.images_per_second(64, 1) is not None
    steps._last_size = 32
    monkeypatch.setattr(command, "available_memory", lambda: 2**20)
    assert steps.images_per_second(64, 1) is None


def test_the_steps_train_as_a_run_does() -> None:
    """One epoch of full batches changes the weights; the precision of the config holds."""
    steps = TrainingSteps(load_config([*TINY, "trainer.precision=bf16-true"]))
    before = [parameter.detach().clone() for parameter in steps._classifier.network.parameters()]
    speed = steps.images_per_second(64, 2)
    assert speed is not None
    assert speed > 0
    after = list(steps._classifier.network.parameters())
    assert {parameter.dtype for parameter in after} == {torch.bfloat16}
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_free_memory_is_that_of_the_machine_and_no_more_than_the_limit(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       100 kB\nMemAvailable:      7 kB\n")
    assert available_memory(tmp_path / "meminfo") == 7 * 1024
    (tmp_path / "meminfo").write_text(f"MemAvailable: {2**50} kB\n")
    assert available_memory(tmp_path / "meminfo") == memory_limit() == available_memory(tmp_path / "none")


def test_the_command_prints_the_size_and_what_to_type(tmp_path: Path) -> None:
    done = convline(tmp_path, "batch-size-find", "trainer=cpu", "--largest", "16", "--steps", "1")
    assert done.status == 0, done.err
    sizes = re.findall(r"^ +(\d+) +[\d,]+ +[\d,]+ MiB$", done.out, re.MULTILINE)
    assert sizes == ["2", "4", "8", "16"]
    assert "Type: data.batch_size=16" in done.out
    assert run_dirs(tmp_path) == []
    assert_one_screen(convline(tmp_path, "batch-size-find", "--largest", "1"), "--largest 2 or more")
