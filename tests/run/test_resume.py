"""A run that is killed and resumed is the run that was never killed, bit for bit."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from convline.records import lock
from convline.records.directory import read_summary
from convline.run.start import _wait_for_holder
from support.commands import SMALL, assert_one_screen, run_dirs, train
from support.run_files import curves, weights, without_the_kill

# 540 training images in batches of 16: 34 batches an epoch, the last one smaller
STEPS_PER_EPOCH = 34
VARIANTS = {
    "plain": [],
    "mid-epoch checkpoints": ["callbacks.checkpoint.every_n_steps=7", "steps_per_execution=3"],
    "accumulation, clipping, averaging": [
        "callbacks.checkpoint.every_n_steps=3",
        "steps_per_execution=2",
        "classifier.accumulate_grad_batches=3",
        "classifier.gradient_clip_norm=0.5",
        "classifier.ema_decay=0.9",
        "optimizer=adamw",
        "scheduler=cosine",
    ],
    "bf16": ["trainer.precision=bf16-mixed", "callbacks.checkpoint.every_n_steps=5", "steps_per_execution=1"],
}


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("last", "best"):
        left, right = weights(one, name), weights(other, name)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left), name
    assert curves(one) == curves(other)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    done = {}
    for name, words in VARIANTS.items():
        folder = tmp_path_factory.mktemp("reference")
        result = train(folder, *SMALL, *words)
        assert result.status == 0, result.err
        (done[name],) = run_dirs(folder)
    return done


def random_steps(name: str, count: int) -> list[int]:
    total = 2 * (STEPS_PER_EPOCH if "accumulation" not in name else 12)
    return sorted(random.Random(name).sample(range(1, total + 1), count))


@pytest.mark.parametrize(
    ("variant", "step"),
    [
        pytest.param(variant, step, marks=[pytest.mark.slow] if index else [])
        for variant in VARIANTS
        for index, step in enumerate(random_steps(variant, 4))
    ],
)
def test_killed_and_resumed_equals_never_killed(
    variant: str, step: int, tmp_path: Path, uninterrupted: dict[str, Path]
) -> None:
    kill = [f"+callbacks.kill={{_target_: support.kill_at.KillAt, step: {step}}}"]
    killed = train(tmp_path, *SMALL, *VARIANTS[variant], *kill)
    assert killed.status == -signal.SIGKILL, killed.err
    (run_dir,) = run_dirs(tmp_path)
    without_the_kill(run_dir)
    resumed = train(tmp_path, f"resume={run_dir}")
    assert resumed.status == 0, resumed.err
    assert run_dirs(tmp_path) == [run_dir]
    assert_same_run(uninterrupted[variant], run_dir)


@pytest.mark.parametrize(
    ("where", "signum"),
    [
        pytest.param(where, signum, marks=marks)
        for where, marks in {
            "KillAt, step: 34": [],
            "KillInValidation, epoch: 0": [pytest.mark.slow],
            "KillAt, step: 20": [pytest.mark.slow],
            "KillAt, step: 67": [pytest.mark.slow],
        }.items()
        for signum in (signal.SIGINT, signal.SIGTERM)
    ],
)
def test_a_signal_saves_the_state_between_two_steps(
    where: str, signum: signal.Signals, tmp_path: Path, uninterrupted: dict[str, Path]
) -> None:
    words = ["steps_per_execution=3", f"+callbacks.kill={{_target_: support.kill_at.{where}, signum: {signum.value}}}"]
    stopped = train(tmp_path, *SMALL, *words)
    (run_dir,) = run_dirs(tmp_path)
    assert stopped.status == 128 + signum
    assert f"resume={run_dir.relative_to(tmp_path)}" in stopped.err
    assert '"status": "interrupted"' in (run_dir / "summary.json").read_text()
    without_the_kill(run_dir)
    assert train(tmp_path, f"resume={run_dir}").status == 0
    assert_same_run(uninterrupted["plain"], run_dir)


def test_the_wait_for_a_process_of_another_machine_ends_when_it_counts_as_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "heartbeat").write_text('{"host": "a-node-that-is-gone", "pid": 1}')
    monkeypatch.setattr(lock, "STALE_SECONDS", 0.5)
    assert lock.is_held(tmp_path)
    _wait_for_holder(tmp_path)
    assert not lock.is_held(tmp_path)
    assert "waiting a minute" in capsys.readouterr().out


@pytest.mark.slow
def test_resume_auto_waits_until_a_process_of_another_machine_counts_as_dead(tmp_path: Path) -> None:
    words = [*SMALL, "+callbacks.stop={_target_: support.failing.StopOnce, seed: 0, step: 40, signum: 15}"]
    assert train(tmp_path, *words).status == 143
    (run_dir,) = run_dirs(tmp_path)
    heartbeat = run_dir / "heartbeat"
    heartbeat.write_text('{"host": "a-node-that-is-gone", "pid": 1}')
    os.utime(heartbeat, (time.time() - 30, time.time() - 30))  # the machine has died half a minute ago
    done = train(tmp_path, *words, "resume=auto")
    assert done.status == 0, done.err
    assert "has died within the last minute: waiting a minute" in done.out
    assert run_dirs(tmp_path) == [run_dir]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2"])
def test_the_signal_of_a_scheduler_saves_the_state_and_is_named(
    name: str, tmp_path: Path, uninterrupted: dict[str, Path]
) -> None:
    signum = signal.Signals[name]
    stopped = train(
        tmp_path, *SMALL, f"+callbacks.kill={{_target_: support.kill_at.KillAt, step: 20, signum: {signum.value}}}"
    )
    (run_dir,) = run_dirs(tmp_path)
    assert stopped.status == 128 + signum
    cause = f"stopped by {name}, which a scheduler sends before the time limit"
    assert f"{cause}; to go on, type: python train.py resume={run_dir.relative_to(tmp_path)}" in stopped.err
    assert read_summary(run_dir)["error"] == cause
    without_the_kill(run_dir)
    assert train(tmp_path, f"resume={run_dir}").status == 0
    assert_same_run(uninterrupted["plain"], run_dir)


def test_a_signal_stops_a_run_whose_epochs_are_one_execution(tmp_path: Path) -> None:
    words = ["steps_per_execution=100", "trainer.max_epochs=50"]
    stopped = train(
        tmp_path, *SMALL, *words, "+callbacks.kill={_target_: support.kill_at.KillAt, step: 40, signum: 15}"
    )
    assert stopped.status == 128 + signal.SIGTERM
    (run_dir,) = run_dirs(tmp_path)
    assert len(curves(run_dir)) == 2  # the epoch of the signal is finished and saved


@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_in_the_test_leaves_a_run_that_only_has_to_be_tested(
    signum: signal.Signals, tmp_path: Path, uninterrupted: dict[str, Path]
) -> None:
    words = [word for word in SMALL if not word.startswith("data.source.num_test")]
    stopped = train(
        tmp_path,
        *words,
        "data.source._target_=support.kill_at.KillInTest",
        "data.source._partial_=false",
        f"+data.source.signum={signum.value}",
    )
    assert stopped.status == 128 + signum, stopped.err
    (run_dir,) = run_dirs(tmp_path)
    assert '"status": "interrupted"' in (run_dir / "summary.json").read_text()
    assert f"resume={run_dir.relative_to(tmp_path)}" in stopped.err


def test_killed_between_the_two_checkpoints_loses_nothing(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    killed = train(tmp_path, *SMALL, "+callbacks.kill={_target_: support.kill_at.KillInCopy, count: 2}")
    assert killed.status == -signal.SIGKILL
    (run_dir,) = run_dirs(tmp_path)
    without_the_kill(run_dir)
    assert train(tmp_path, f"resume={run_dir}").status == 0
    assert_same_run(uninterrupted["plain"], run_dir)


@pytest.mark.slow
def test_early_stopping_is_remembered(tmp_path: Path) -> None:
    settings = {"patience": 1, "min_delta": 100}
    early = ["callbacks=early_stopping", *(f"callbacks.early_stopping.{key}={v}" for key, v in settings.items())]
    words = [*SMALL, *early, "trainer.max_epochs=9"]
    assert train(tmp_path / "reference", *words).status == 0
    stopped = train(tmp_path / "stopped", *words, "+callbacks.kill={_target_: support.kill_at.KillAtEnd, signum: 15}")
    assert stopped.status == 143
    (run_dir,), (reference,) = run_dirs(tmp_path / "stopped"), run_dirs(tmp_path / "reference")
    without_the_kill(run_dir)
    assert train(tmp_path, f"resume={run_dir}").status == 0
    assert_same_run(reference, run_dir)


@pytest.mark.slow
def test_auto_goes_on_with_the_newest_run_of_the_same_settings_or_begins_one(tmp_path: Path) -> None:
    # the file ends the run in its first epoch only as long as it is not there
    kill = "+callbacks.kill={_target_: support.kill_at.KillRankAt, rank: 0, step: 20, once: true}"
    words = [*SMALL, kill, "callbacks.checkpoint.every_n_steps=7", "steps_per_execution=3", "resume=auto"]
    assert train(tmp_path, *words).status == -signal.SIGKILL
    assert len(run_dirs(tmp_path)) == 1
    other = train(tmp_path, *words, "seed=1", "trainer.limit_train_batches=2")
    assert other.status == 0, other.err
    assert len(run_dirs(tmp_path)) == 2  # other settings are another run
    again = train(tmp_path, *words)
    assert again.status == 0, again.err
    assert "Going on from" in again.out
    assert "is finished already" in train(tmp_path, *words).out
    assert len(run_dirs(tmp_path)) == 2
    refused = train(tmp_path, "-m", *words, "seed=0,1")
    assert_one_screen(refused, "resume=auto is for one run")


def test_a_directory_in_use_is_not_resumed(tmp_path: Path) -> None:
    assert (
        train(tmp_path, *SMALL, "+callbacks.kill={_target_: support.kill_at.KillAt, step: 40, signum: 15}").status
        == 143
    )
    (run_dir,) = run_dirs(tmp_path)
    from convline.records.lock import locked

    with locked(run_dir):
        refused = train(tmp_path, f"resume={run_dir}")
    assert refused.status == 1
    assert "still running" in refused.err
