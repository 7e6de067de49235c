"""The loader behind worker processes: the resident one's batches, bit for bit, wherever it begins."""

import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from convline.data.augment.language import parse_augment
from convline.data.augment.pipeline import Pipeline
from convline.data.loader import Batch, Loader, LoaderConfig, ResidentLoader, choose_loader
from convline.data.preprocess import Preprocessor
from convline.data.streaming import StreamingLoader, keep_out_of_signals
from convline.errors import Interrupted, UserError
from convline.signals import stoppable
from support.be_a_worker import be_a_worker
from support.commands import SMALL, run_dirs, train

DRAWS = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (37, 3, 6, 6), dtype=torch.uint8, generator=DRAWS)
LABELS = torch.randint(0, 5, (37,), generator=DRAWS)
INDICES = torch.arange(1, 37, 2)  # 18 of them
CPU = torch.device("cpu")


def preprocessor(augment: str = "") -> Preprocessor:
    steps = parse_augment(augment)
    pipeline = Pipeline(steps, (3, 6, 6), 5, torch.full((3,), 100.0), seed=1) if steps else None
    return Preprocessor(torch.full((3,), 0.4), torch.full((3,), 0.2), (3, 6, 6), CPU, pipeline=pipeline)


def pair(num_workers: int, config: LoaderConfig, augment: str = "") -> tuple[Loader, Loader]:
    resident = ResidentLoader(IMAGES, LABELS, INDICES, preprocessor(augment), config)
    return resident, StreamingLoader(IMAGES, LABELS, INDICES, preprocessor(augment), config, num_workers)


def epoch(loader: Loader) -> list[Batch]:
    return [batch for execution in loader for batch in execution]


def assert_same(ours: list[Batch], theirs: list[Batch]) -> None:
    assert len(ours) == len(theirs) > 0
    for (images, targets), (other_images, other_targets) in zip(ours, theirs, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(targets, other_targets)
        assert images.stride() == other_images.stride()


LOADER_CONFIGS = {
    "shuffled": LoaderConfig(4, order_seed=3, steps_per_execution=3),
    "in order": LoaderConfig(4),
    "limited": LoaderConfig(4, order_seed=3, limit=2),
    "second of two ranks": LoaderConfig(3, order_seed=3, rank=1, world_size=2),
}


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("config", LOADER_CONFIGS.values(), ids=LOADER_CONFIGS)
def test_both_loaders_give_the_same_batches_epoch_after_epoch(config: LoaderConfig, num_workers: int) -> None:
    resident, streaming = pair(num_workers, config)
    for _ in range(3):
        assert_same(epoch(resident), epoch(streaming))
    assert resident.state_dict() == streaming.state_dict()


@pytest.mark.parametrize("augment", ["flip, crop(2)", "altflip", "jitter(0.2)", "crop(1), mixup"])
def test_augmented_batches_are_the_same_too(augment: str) -> None:
    resident, streaming = pair(2, LOADER_CONFIGS["shuffled"], augment)
    for _ in range(2):
        assert_same(epoch(resident), epoch(streaming))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("augment", ["", "flip, crop(2)"])
def test_it_goes_on_in_the_middle_of_an_epoch(augment: str, num_workers: int) -> None:
    whole, _ = pair(0, LoaderConfig(4, order_seed=3), augment)
    batches = epoch(whole) + epoch(whole)
    for taken in (1, 4, 5, 7):
        _, streaming = pair(num_workers, LoaderConfig(4, order_seed=3), augment)
        streaming.load_state_dict({"epoch": taken // 5, "position": taken % 5})
        rest = epoch(streaming)
        assert_same(rest, batches[taken : taken + len(rest)])
        assert len(rest) == 5 - taken % 5


def test_it_takes_nothing_from_the_networks_random_numbers() -> None:
    before = torch.get_rng_state()
    epoch(pair(2, LOADER_CONFIGS["shuffled"], "flip")[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_images_may_lie_in_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "images.npy", mmap_mode="c"))
    resident, _ = pair(0, LOADER_CONFIGS["shuffled"])
    assert_same(
        epoch(resident), epoch(StreamingLoader(mapped, LABELS, INDICES, preprocessor(), LOADER_CONFIGS["shuffled"], 1))
    )


def test_auto_is_resident_for_what_fits_and_says_why_it_is_not() -> None:
    assert choose_loader("auto", IMAGES, CPU).name == "resident"
    assert choose_loader("dataloader", IMAGES, CPU).name == "dataloader"
    huge = torch.empty(2**40, dtype=torch.uint8, device="meta")
    choice = choose_loader("auto", huge, CPU)
    assert choice.name == "dataloader"
    assert "1,048,576.0 MiB of images, more than half of the" in choice.reason
    assert choose_loader("resident", huge, CPU).name == "resident"


@pytest.mark.parametrize(("limit", "name"), [(2 * IMAGES.nbytes, "resident"), (2 * IMAGES.nbytes - 1, "dataloader")])
def test_auto_asks_for_the_memory_of_the_container(limit: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convline.data.loader.memory_limit", lambda: limit)
    assert choose_loader("auto", IMAGES, CPU).name == name


@pytest.mark.slow
def test_a_run_with_workers_is_bitwise_the_run_without(tmp_path: Path) -> None:
    weights = []
    for loader in ("resident", "dataloader"):
        words = [*SMALL, f"data.loader={loader}", "data.num_workers=1", "data.augment=[crop(2),flip]"]
        done = train(tmp_path, *words)
        assert done.status == 0, done.err
        run_dir = run_dirs(tmp_path)[-1]
        weights.append(torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def workers_of(loader: Loader) -> list[int]:
    return [worker.pid for worker in loader._batches._workers]  # type: ignore[attr-defined]


def test_no_lock_is_shared_with_workers_that_may_be_killed_while_they_hold_it() -> None:
    _, streaming = pair(2, LoaderConfig(1, order_seed=3))
    streaming.next_batch()
    done = streaming._batches._workers_done_event  # type: ignore[attr-defined]
    assert not done.is_set()
    assert not hasattr(done, "_cond")  # of multiprocessing.Event
    assert not hasattr(multiprocessing.get_context().Event(), "_value")  # elsewhere it is as it was


def test_workers_are_out_of_reach_of_signals_to_the_group_and_their_death_is_explained() -> None:
    _, streaming = pair(2, LoaderConfig(1, order_seed=3))
    for _ in range(2):  # from each worker one: then both have begun
        streaming.next_batch()
    for pid in workers_of(streaming):
        assert os.getpgid(pid) != os.getpgrp()
        for signum in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(pid, signum)
    for _ in range(5):
        streaming.next_batch()
    for pid in workers_of(streaming):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(UserError, match=r"a worker that brings the images has died"):
        epoch(streaming)


@pytest.mark.gpu
def test_batches_arrive_on_the_gpu_the_same() -> None:
    gpu = torch.device("cuda", 0)
    on_gpu = Preprocessor(torch.full((3,), 0.4), torch.full((3,), 0.2), (3, 6, 6), gpu)
    config = LOADER_CONFIGS["shuffled"]
    resident = ResidentLoader(IMAGES.to(gpu), LABELS.to(gpu), INDICES, on_gpu, config)
    streaming = StreamingLoader(IMAGES, LABELS, INDICES, on_gpu, config, 2)
    ours = epoch(resident)
    assert ours[0][0].device == gpu
    assert_same(ours, epoch(streaming))


def test_a_worker_ends_by_a_signal_of_its_parent_alone() -> None:
    ready, told = os.pipe()
    worker = os.fork()
    if not worker:
        keep_out_of_signals(0)
        os.write(told, b"ready")
        time.sleep(60)
        os._exit(1)
    os.read(ready, 5)
    for name in ("TERM", "INT", "USR1"):  # another process sends them, as a scheduler does to all processes of a job
        subprocess.run(["kill", f"-{name}", str(worker)], check=True)
    time.sleep(0.1)
    assert os.waitpid(worker, os.WNOHANG) == (0, 0)
    os.kill(worker, signal.SIGTERM)
    assert os.waitpid(worker, 0) == (worker, 0)


def test_a_signal_that_comes_while_the_workers_start_reaches_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _, streaming = pair(2, LoaderConfig(4))
    begin, blocked = DataLoader.__iter__, []

    def begin_with_a_signal(source: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        return begin(source)

    monkeypatch.setattr(DataLoader, "__iter__", begin_with_a_signal)
    with pytest.raises(Interrupted), stoppable(""):
        epoch(streaming)
    assert signal.SIGTERM in blocked[0]


def test_shared_memory_that_is_used_up_is_an_error_and_no_endless_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tensor: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    _, streaming = pair(1, LoaderConfig(4))
    with pytest.raises(UserError, match=r"failed: RuntimeError: unable to allocate shared memory.*\n.*/dev/shm"):
        epoch(streaming)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_worker_ends_by_the_training_process_though_a_fork_server_is_its_parent(method: str) -> None:
    context = multiprocessing.get_context(method)
    ready = context.Event()
    worker = context.Process(target=be_a_worker, args=(ready,))
    worker.start()
    assert ready.wait(60)
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0
