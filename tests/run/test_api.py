"""Training from Python gives the run of the command."""

import json
from pathlib import Path

import pytest
import torch

import convline
from convline.errors import UserError
from convline.figures import confusion_matrix
from support.commands import run_dirs, train

WORDS = (
    "data=synthetic data.source.num_train=600 data.source.num_test=100 callbacks=plain trainer=cpu trainer.max_epochs=1"
)


def test_a_run_from_python_is_that_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = convline.train(f"{WORDS} name=python")
    assert train(tmp_path, *WORDS.split(), "name=command").status == 0
    accuracies = {json.loads((path / "summary.json").read_text())["metrics"]["test/acc"] for path in run_dirs(tmp_path)}
    assert len(run_dirs(tmp_path)) == 2
    assert accuracies == {run.predictions("test").accuracy}
    assert isinstance(run.network, torch.nn.Module)
    assert confusion_matrix(run).axes


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("seed=0,1", "this trains one run"),
        ("model=lenett", "did you mean 'lenet'"),
        (["optimizer.lr=0"], "above 0"),
        (["resume=a\0b"], "cannot be read .embedded null byte"),
    ],
)
def test_wrong_overrides_are_refused(overrides: str | list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        convline.train(overrides)


@pytest.mark.slow
def test_an_interrupted_run_is_continued_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill = "+callbacks.kill={_target_: support.kill_at.KillAt, step: 3, signum: 15}"
    assert train(tmp_path, *WORDS.split(), kill).status == 143
    (run_dir,) = run_dirs(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert convline.train(f"resume={run_dir}").predictions("test").accuracy > 0
    assert json.loads((run_dir / "summary.json").read_text())["status"] == "finished"
    with pytest.raises(UserError, match=r"seed=1 would have no effect"):
        convline.train([f"resume={run_dir}", "seed=1"])
