"""Shell completion of groups and options."""

from pathlib import Path

import pytest

from convline.cli import complete_override
from support.commands import Running, convline


def test_groups_and_options_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "lean.yaml").write_text("# mine\n_target_: torch.nn.Identity\n")
    monkeypatch.chdir(tmp_path)
    assert complete_override("opt") == ["optimizer="]
    assert complete_override("model=le") == ["model=lenet", "model=lenet_1998", "model=lean"]
    assert complete_override("nothing=x") == []


def test_the_command_passes_every_word_on(tmp_path: Path) -> None:
    assert "GROUPS" in convline(tmp_path, "train", "--help").out
    done = convline(tmp_path, "train", "--cfg", "job", "--package", "scheduler", "scheduler=linear")
    assert done.status == 0, done.err
    assert "schedules.linear" in done.out


def test_the_shell_is_answered(tmp_path: Path) -> None:
    environment = {"_CONVLINE_COMPLETE": "complete_bash", "COMP_WORDS": "convline train model=len", "COMP_CWORD": "2"}
    done = Running([], tmp_path, "convline", environment).wait()
    assert done.out.split() == ["model=lenet", "model=lenet_1998"], done.err
