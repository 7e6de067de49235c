"""A user's mistake: one screen that says what to type, a non-zero status, nothing trained, nothing left behind."""

import struct
from pathlib import Path

import pytest

from support.commands import SMALL, assert_one_screen, convline, run_dirs, shell, train

CASES = {
    "misspelt group": (["modle=lenet"], ["'modle'", "did you mean 'model'?"]),
    "misspelt option": (["model=lenett"], ["model=lenett", "did you mean 'lenet'?"]),
    "misspelt option in a sweep": (["-m", "model=dense,lenett"], ["model=lenett", "did you mean 'lenet'?"]),
    "misspelt key": (["optimizer.lrr=1"], ["'optimizer.lrr'", "did you mean 'optimizer.lr'?"]),
    "misspelt key below an option": (
        ["callbacks=early_stopping", "callbacks.early_stopping.patince=1"],
        ["did you mean 'callbacks.early_stopping.patience'?"],
    ),
    "misspelt key in a sweep": (["-m", "optimizer.lrr=1,2"], ["did you mean 'optimizer.lr'?"]),
    "key of another option": (["optimizer=adam", "optimizer.momentum=0.9"], ["'optimizer.momentum'", "betas"]),
    "key that has no effect": (["data.root=/tmp"], ["'data.root'", "Known in 'data'"]),
    "added key that nobody reads": (["+sede=1"], ["'sede'", "did you mean 'seed'?"]),
    "wrong type": (["optimizer.lr=fast"], ["optimizer.lr", "'fast'", "Float"]),
    "whole number wanted": (["seed=1.5"], ["seed", "'1.5'", "Integer"]),
    "lr 0": (["optimizer.lr=0"], ["optimizer.lr=0.0", "above 0"]),
    "lr below 0": (["optimizer.lr=-0.1"], ["optimizer.lr=-0.1", "above 0"]),
    "lr infinite": (["optimizer.lr=inf"], ["optimizer.lr=inf", "above 0 and finite"]),
    "batch size 0": (["data.batch_size=0"], ["data.batch_size=0", "at least 1"]),
    "batch larger than the data": (["data.batch_size=2000"], ["data.batch_size=2000", "1,298 training images"]),
    "unknown precision": (["trainer.precision=fp8"], ["trainer.precision=fp8", "bf16-mixed"]),
    "unknown monitor": (["callbacks.checkpoint.monitor=val/accuracy"], ["val/accuracy", "val/acc"]),
    "no such word": (["lenet"], ["'lenet' is not a setting", "key=value"]),
    "missing data": (["data=mnist", "data.root=nowhere"], ["no MNIST in", "nowhere/MNIST/raw", "data=digits"]),
    "no such run": (["resume=runs/none"], ["runs/none is not a run directory", "no such folder"]),
    "resume with other settings": (["resume=runs/none", "seed=1"], ["seed=1 would have no effect"]),
    "colours as grey": (
        ["data=synthetic", "data.source.shape=[3,8,8]"],
        ["the data have 3 channels, but the config says 1", "data.channels=3"],
    ),
    "classes of other data": (["data.num_classes=9"], ["the data are in 10 classes", "data.num_classes=10"]),
    "fold out of range": (["data.fold=5"], ["data.fold=5", "from 0 to 4"]),
    "two sizes of the training set": (["data.per_class=5", "data.train_fraction=0.5"], ["take one out"]),
    "more of a class than there are": (["data.per_class=500"], ["data.per_class=500", "training images of class"]),
    "fraction that leaves a class empty": (["data.train_fraction=0.001"], ["data.train_fraction=0.001 leaves class"]),
    "unknown way to validate": (["data.val=last"], ["data.val=last", "stratified, first"]),
    "unknown weights": (["classifier.class_weights=inverse"], ["class_weights=inverse", "none, balanced"]),
    "key of a list": (["data.augment.flip=1"], ["data.augment is a list"]),
    "unknown views": (["tta=crop"], ["tta=crop", "flip, flip+shift"]),
    "nesterov without momentum": (["optimizer.momentum=0"], ["nesterov", "optimizer.momentum=0.9"]),
    "nothing to train with": (["~optimizer"], ["'optimizer'", "choose one"]),
    "model for other images": (["model=imagenet/resnet18"], ["cannot take images of 1×8×8"]),
    "model for other classes": (["model=dense", "model.num_classes=7"], ["gives 7 numbers", "model.num_classes=10"]),
    "pattern that does not end": (['model.pattern="CONV(8) -> POOL*9 -> FC"'], ["column 12", "^", "drop a POOL"]),
    "no callbacks, wrongly": (["callbacks=null"], ["callbacks=null", "~callbacks"]),
    "two flags at once": (["-m", "--cfg", "job", "seed=0,1"], ["Only one of"]),
    "no value": (["optimizer.lr=???"], ["no value", "lr"]),
    "bad combination of a sweep": (["-m", "optimizer=sgd,adam", "optimizer.nesterov=true"], ["optimizer=adam"]),
    "early stopping the wrong way": (
        ["callbacks=early_stopping", "callbacks.early_stopping.monitor=val/acc"],
        ["callbacks.early_stopping.mode=max"],
    ),
    "plateau of an accuracy": (
        ["scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau", "scheduler.monitor=val/acc"],
        ["when val/acc gets better", "scheduler.mode=max"],
    ),
    "plateau by step": (
        ["scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau", "scheduler.interval=step"],
        ["a metric of an epoch", "scheduler.interval=epoch"],
    ),
    "a schedule stepped at no known time": (
        ["scheduler._target_=torch.optim.lr_scheduler.StepLR", "scheduler.step_size=2", "scheduler.interval=batch"],
        ["scheduler.interval=batch", "it must be step or epoch"],
    ),
    "two learning rates": (
        ["scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "scheduler.max_lr=0.1"],
        ["scheduler.max_lr=0.1 would take the place of optimizer.lr=0.05", "optimizer.lr=0.1"],
    ),
    "one image left for batch norm": (["model=vgg11", "data.batch_size=1297"], ["one image", "data.batch_size=1298"]),
    "split without validation": (["data.val_fraction=0.001"], ["val_fraction=0.001", "class"]),
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: refused at once


@pytest.mark.parametrize("case", CASES)
def test_mistake_is_explained_before_anything_is_trained(case: str, tmp_path: Path) -> None:
    words, texts = CASES[case]
    done = train(tmp_path, *words)
    assert_one_screen(done, *texts)
    assert "epoch" not in done.out
    assert run_dirs(tmp_path) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = train(tmp_path, "data.batch_size=0", "debug=true")
    assert done.status == 1
    assert "Traceback" in done.err


def test_the_real_command_exits_like_the_tests_one(tmp_path: Path) -> None:
    import sys

    done = shell(sys.executable, "train.py", "modle=lenet")
    assert done.status == 1
    assert done.err.startswith("error: 'modle'")


def mnist_folder(root: Path, images: bytes) -> None:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 60_000), ("t10k", 10_000)):
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + bytes(count))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (struct.pack(">IIII", 2051, 60_000, 28, 28) + bytes(1000), "should hold 47,040,000 values"),
        (struct.pack(">IIII", 2051, 60_000, 32, 32), "60000×32×32"),
        (b"<!DOCTYPE html>", "does not begin as an IDX file"),
    ],
)
def test_damaged_idx_file_is_named(content: bytes, complaint: str, tmp_path: Path) -> None:
    mnist_folder(tmp_path / "data", content)
    done = train(tmp_path, "data=mnist", "data.root=data")
    assert_one_screen(done, "data/MNIST/raw/train-images-idx3-ubyte", complaint, "Delete it")
    assert run_dirs(tmp_path) == []


def test_damaged_test_file_is_found_before_training(tmp_path: Path) -> None:
    mnist_folder(tmp_path / "data", struct.pack(">IIII", 2051, 60_000, 28, 28) + bytes(47_040_000))
    done = train(tmp_path, "data=mnist", "data.root=data")
    assert_one_screen(done, "t10k-images-idx3-ubyte", "60000×28×28")
    assert "epoch" not in done.out


def test_cifar_file_without_its_check_sum_is_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    # a pickle that would make a file if anybody opened it
    bomb = b"cos\nsystem\n(S'touch " + str(tmp_path / "opened").encode() + b"'\ntR."
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(bomb)
    done = train(tmp_path, "data=cifar10", "data.root=data")
    assert_one_screen(done, "data_batch_1", "MD5")
    assert not (tmp_path / "opened").exists()


def test_runs_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_one_screen(train(tmp_path, "runs_dir=file/runs"), "file/runs", "runs_dir=FOLDER")


def test_diverging_run_stops_at_once_and_says_so(tmp_path: Path) -> None:
    done = train(tmp_path, *SMALL, "optimizer.lr=1e8")
    assert_one_screen(done, "the loss became", "of epoch 1", "optimizer.lr=")
    (run_dir,) = run_dirs(tmp_path)
    assert '"status": "failed"' in (run_dir / "summary.json").read_text()
    assert not list((run_dir / "checkpoints").iterdir())


class TestDamagedCheckpoint:
    @pytest.fixture
    def run_dir(self, tmp_path: Path) -> Path:
        done = train(tmp_path, *SMALL, "+callbacks.kill={_target_: support.kill_at.KillAt, step: 50, signum: 15}")
        assert done.status == 143, done.err
        (run_dir,) = run_dirs(tmp_path)
        return run_dir

    @pytest.mark.slow
    def test_falls_back_to_the_other_one_and_says_so(self, run_dir: Path, tmp_path: Path) -> None:
        last = run_dir / "checkpoints" / "last.ckpt"
        last.write_bytes(last.read_bytes()[:-5000])
        done = train(tmp_path, f"resume={run_dir}")
        assert "last.ckpt is damaged" in done.out
        assert "best.ckpt instead" in done.out

    @pytest.mark.slow
    def test_both_damaged(self, run_dir: Path, tmp_path: Path) -> None:
        for path in (run_dir / "checkpoints").iterdir():
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1  # one bit
            path.write_bytes(content)
        done = train(tmp_path, f"resume={run_dir}")
        assert_one_screen(done, "last.ckpt is damaged", "best.ckpt is damaged")
        assert_one_screen(convline(tmp_path, "evaluate", str(run_dir)), "best.ckpt is damaged")

    def test_checkpoint_that_carries_code_is_refused(self, run_dir: Path, tmp_path: Path) -> None:
        import torch

        class Bomb:
            def __reduce__(self) -> tuple:
                return (Path.touch, (tmp_path / "opened",))

        for name in ("last", "best"):
            torch.save({"state_dict": {}, "x": Bomb()}, run_dir / "checkpoints" / f"{name}.ckpt")
        assert_one_screen(train(tmp_path, f"resume={run_dir}"), "could run code")
        assert_one_screen(convline(tmp_path, "evaluate", str(run_dir)), "could run code")
        assert not (tmp_path / "opened").exists()


def test_evaluate_of_what_is_no_run(tmp_path: Path) -> None:
    assert_one_screen(convline(tmp_path, "evaluate", "nowhere"), "nowhere is not a run directory")
    for words in (["evalaute"], ["evaluate"], ["describe", "--jsn"]):
        done = convline(tmp_path, *words)
        assert done.status != 0
        assert "Traceback" not in done.err
    assert "Did you mean 'evaluate'" in convline(tmp_path, "evalaute").err


@pytest.mark.parametrize("words", [["seed=0"], ["-m", "seed=0,1"]])
def test_the_url_of_an_object_store_is_no_folder_for_runs(words: list[str], tmp_path: Path) -> None:
    done = train(tmp_path, *words, "data=digits", "runs_dir=s3://bucket/runs")
    assert_one_screen(done, "runs_dir=s3://bucket/runs is a URL", "runs_dir=FOLDER", "sweep.storage=postgresql")
    assert not any(path.is_dir() for path in tmp_path.iterdir())
    assert_one_screen(convline(tmp_path, "report", "s3://bucket/runs"), "is a URL", "convline report FOLDER")
