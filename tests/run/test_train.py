"""Whole runs: their options do what they say, alone, on several processes and in a sweep."""

import sys
from pathlib import Path

import pytest
import torch

from convline.run import console
from support.commands import ROOT, SMALL, Running, run_dirs, shell, train
from support.run_files import rows, summary, weights


def test_same_seed_same_weights_and_seed_0_is_a_seed(tmp_path: Path) -> None:
    for seed in (0, 0, 1):
        assert train(tmp_path, *SMALL, f"seed={seed}", "trainer.max_epochs=1").status == 0
    first, again, other = map(weights, run_dirs(tmp_path))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first if key.endswith("conv1.weight"))
    identities = [summary(run_dir)["identity"] for run_dir in run_dirs(tmp_path)]
    assert identities[0] == identities[1] != identities[2]


@pytest.mark.slow
def test_steps_per_execution_and_threads_of_callbacks_change_no_number(tmp_path: Path) -> None:
    for words in (["steps_per_execution=1"], ["steps_per_execution=100"], ["callbacks.progress=null"]):
        assert train(tmp_path, *SMALL, *words).status == 0
    first, *others = map(weights, run_dirs(tmp_path))
    for other in others:
        assert all(torch.equal(first[key], other[key]) for key in first)


def test_early_stopping_stops_early(tmp_path: Path) -> None:
    words = [
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=100",
    ]
    assert train(tmp_path, *SMALL, *words, "trainer.max_epochs=9").status == 0
    assert len(rows(run_dirs(tmp_path)[0])) == 2  # the first epoch is the best, the second is no better


@pytest.mark.slow
def test_overfitting_ten_batches_learns_them_by_heart(tmp_path: Path) -> None:
    words = [word for word in SMALL if not word.startswith(("trainer.max_epochs", "model.pattern"))]
    done = train(tmp_path, *words, "trainer=overfit", "trainer.accelerator=cpu", "trainer.max_epochs=30", "threads=1")
    assert done.status == 0, done.err
    last = rows(run_dirs(tmp_path)[0])[-1]
    assert float(last["step"]) == 300
    assert float(last["train/loss"]) < 0.01
    assert float(last["val/acc"]) == 1.0  # validated on the same batches


@pytest.mark.slow
def test_one_batch_and_profile(tmp_path: Path) -> None:
    assert train(tmp_path, *SMALL, "trainer=one_batch", "trainer.max_epochs=1").status == 0
    assert rows(run_dirs(tmp_path)[0])[-1]["step"] == "1"
    assert train(tmp_path, *SMALL, "trainer=profile", "trainer.max_epochs=1").status == 0
    assert "aten::" in (run_dirs(tmp_path)[1] / "fit-profile.txt").read_text()


OPTIMIZERS = ["sgd", "adam", "adamw", "rmsprop"]
SCHEDULES = ["constant", "step", "cosine", "onecycle", "linear"]
PAIRS = {*zip(OPTIMIZERS, SCHEDULES, strict=False), ("sgd", "linear")}  # each of them once; the other pairs take longer


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [
        pytest.param(optimizer, scheduler, marks=[] if (optimizer, scheduler) in PAIRS else [pytest.mark.slow])
        for optimizer in OPTIMIZERS
        for scheduler in SCHEDULES
    ],
)
def test_every_optimizer_with_every_schedule(optimizer: str, scheduler: str, tmp_path: Path) -> None:
    words = [
        f"optimizer={optimizer}",
        f"scheduler={scheduler}",
        "trainer.limit_train_batches=4",
        "scheduler.warmup=0.5",
    ]
    done = train(tmp_path, *SMALL, *words)
    assert done.status == 0, done.err


@pytest.mark.slow
def test_compiled_network_has_the_same_names_and_learns(tmp_path: Path) -> None:
    words = ['model.pattern="CONV(4) -> RELU -> POOL -> FC(16) -> RELU -> FC"', "trainer.limit_train_batches=4"]
    done = train(tmp_path, *SMALL, *words, "compile=true")
    assert done.status == 0, done.err
    plain = train(tmp_path, *SMALL, *words)
    assert plain.status == 0
    compiled, plainly = map(weights, run_dirs(tmp_path))
    assert compiled.keys() == plainly.keys()
    torch.testing.assert_close(compiled["network.fc1.weight"], plainly["network.fc1.weight"], rtol=1e-3, atol=1e-4)


def test_callbacks_of_lightning_may_have_the_names_of_ours(tmp_path: Path) -> None:
    lightning = "lightning.pytorch.callbacks"
    done = train(
        tmp_path,
        *SMALL,
        f"callbacks.checkpoint._target_={lightning}.ModelCheckpoint",
        f"+callbacks.early_stopping={{_target_: {lightning}.EarlyStopping, monitor: val/loss}}",
    )
    assert done.status == 0, done.err
    assert "test accuracy" in done.out
    (run_dir,) = run_dirs(tmp_path)
    assert summary(run_dir)["best_epoch"] is None  # the last weights are tested


class TestMultirun:
    def test_readable_directories_and_a_failed_job(self, tmp_path: Path) -> None:
        done = train(tmp_path, "-m", *SMALL, "trainer.max_epochs=1", "optimizer.lr=0.1,1e9,0.01", "seed=0,1")
        assert done.status == 1
        assert "error: 2 failed of 6 jobs" in done.err
        statuses = {run_dir.name: summary(run_dir)["status"] for run_dir in run_dirs(tmp_path)}
        assert len(statuses) == 6
        assert sorted(statuses.values()) == ["failed"] * 2 + ["finished"] * 4
        assert all("lr=1000000000.0" in name for name, status in statuses.items() if status == "failed")

    @pytest.mark.slow
    def test_a_job_of_a_sweep_is_the_run_alone(self, tmp_path: Path) -> None:
        assert train(tmp_path / "sweep", "-m", *SMALL, "trainer.max_epochs=1", "seed=5,3").status == 0
        assert train(tmp_path / "alone", *SMALL, "trainer.max_epochs=1", "seed=3").status == 0
        in_sweep = next(r for r in run_dirs(tmp_path / "sweep") if "seed=3" in r.name)
        (alone,) = run_dirs(tmp_path / "alone")
        wanted = weights(alone)
        assert all(torch.equal(value, wanted[key]) for key, value in weights(in_sweep).items())
        assert summary(in_sweep)["identity"] == summary(alone)["identity"]

    @pytest.mark.slow
    def test_the_same_sweep_twice_overwrites_nothing(self, tmp_path: Path) -> None:
        words = ["-m", *SMALL, "trainer.limit_train_batches=1", "seed=0,1", "hydra.sweep.dir=runs/mine"]
        assert train(tmp_path, *words).status == 0
        before = [(path / "summary.json").read_text() for path in run_dirs(tmp_path)]
        assert train(tmp_path, *words).status == 0
        assert [(path / "summary.json").read_text() for path in run_dirs(tmp_path)] == before
        assert len(before) == 2


def test_help_is_a_manual(tmp_path: Path) -> None:
    done = shell(sys.executable, str(ROOT / "train.py"), "--help", cwd=tmp_path)
    assert done.status == 0
    for text in ("USAGE", "GROUPS", "EXAMPLES", "* digits", "mnist", "lenet", "onecycle", "overfit"):
        assert text in done.out
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert path.stem in done.out or path.parent.name == "conf" or path.stem.startswith("_"), path


@pytest.mark.slow
@pytest.mark.realdata
def test_lenet_learns_mnist_with_the_shipped_defaults(tmp_path: Path, data_root: Path) -> None:
    done = Running(["model=lenet", "data=mnist", f"data.root={data_root}"], tmp_path).wait(280)
    assert done.status == 0, done.err
    told = summary(run_dirs(tmp_path)[0])
    assert told["metrics"]["test/acc"] >= 0.988
    assert "61,706 parameters" in done.out
    assert len(rows(run_dirs(tmp_path)[0])) == 5


@pytest.mark.realdata
def test_cifar10_trains(tmp_path: Path, data_root: Path) -> None:
    words = ["model=dense", "data=cifar10", f"data.root={data_root}", "trainer=one_batch", "trainer.accelerator=cpu"]
    done = train(tmp_path, *words)
    assert done.status == 0, done.err
    assert "45,000 training and 5,000 validation images 3×32×32" in done.out


@pytest.mark.gpu
@pytest.mark.parametrize(
    "words", [[], ["trainer.precision=bf16-mixed"], ["trainer.precision=16-mixed"], ["compile=true"]]
)
def test_gpu_trains(words: list[str], tmp_path: Path) -> None:
    plain = [word for word in SMALL if not word.startswith("trainer.accelerator")]
    done = train(tmp_path, *plain, "trainer=gpu", *words)
    assert done.status == 0, done.err
    assert summary(run_dirs(tmp_path)[0])["metrics"]["test/acc"] > 0.5


def test_the_panels_command_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = {"metrics": {"test/acc": 0.5, "val/acc": 0.5}, "best_epoch": 1, "seconds": 1.0}
    console.print_outcome(Path("my runs") / "one", outcome)
    assert "convline dashboard 'my runs'" in capsys.readouterr().out
