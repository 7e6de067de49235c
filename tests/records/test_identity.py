"""The identity of a run changes with everything that decides its result, and with nothing else."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from convline.records import identity as identities
from support.commands import ROOT, shell

CONFIG = """
seed: 0
name: null
runs_dir: runs
resume: null
debug: false
data: {root: "${oc.env:CONVLINE_DATA,data}", batch_size: 128, shape: [1, 28, 28], same: "${data.batch_size}"}
model: {_target_: m, pattern: CONV(6) -> FC}
optimizer: {_target_: o, lr: 0.1}
scheduler: {_target_: s, warmup: 0.0}
trainer: {max_epochs: 5, profiler: null, log_every_n_steps: 50}
callbacks: {checkpoint: {monitor: val/acc}, progress: {_target_: convline.p}}
logger: {csv: {_target_: l}}
"""


def config(**changes: Any) -> DictConfig:
    cfg = OmegaConf.create(CONFIG)
    assert isinstance(cfg, DictConfig)
    for key, value in changes.items():
        OmegaConf.update(cfg, key, value)
    return cfg


def identity(changes: dict[str, Any] | None = None, code: str = "code", data: str = "data") -> str:
    return identities.identity(config(**(changes or {})), code, data)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"runs_dir": "elsewhere"},
        {"logger": None},
        {"logger.tensorboard": {"_target_": "t"}},
        {"data.root": "elsewhere"},
        {"trainer.profiler": "simple"},
        {"trainer.log_every_n_steps": 1},
        {"callbacks.progress": None},
    ],
    ids=str,
)
def test_identity_does_not_see_where_or_how_a_run_is_written(changes: dict[str, Any]) -> None:
    assert identity(changes) == identity()


def test_identity_does_not_see_the_data_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVLINE_DATA", "a")
    first = identity()
    monkeypatch.setenv("CONVLINE_DATA", "b")
    assert identity() == first


def test_identity_sees_all_that_decides_what_is_computed() -> None:
    changes = [
        {},
        {"seed": 1},
        {"seed": None},
        {"optimizer.lr": 0.01},
        {"model.pattern": "CONV(7) -> FC"},
        {"data.batch_size": 64},
        {"data.shape": [28, 28, 1]},
        {"scheduler.warmup": 0.1},
        {"trainer.max_epochs": 6},
        {"callbacks.checkpoint.monitor": "val/loss"},
    ]
    identities = [identity(change) for change in changes]
    identities += [identity(code="other"), identity(data="other"), identity(code="coded", data="ata")]
    assert len(set(identities)) == len(identities)
    assert all(len(value) == 16 for value in identities)


def test_a_callback_of_ones_own_under_a_shipped_name_is_seen() -> None:
    def key(target: str, scale: float) -> str:
        callbacks = {"norms": {"_target_": target, "scale": scale}}
        return identities.settings_key(OmegaConf.create({"callbacks": callbacks}))

    ours = "convline.callbacks.norms.Norms"
    assert key(ours, 0.0) == key(ours, 1.0)
    assert key("mine.Norms", 0.0) != key("mine.Norms", 1.0)


def test_identity_sees_neither_the_order_of_keys_nor_interpolations() -> None:
    plain = OmegaConf.to_container(config(), resolve=True)
    assert isinstance(plain, dict)
    turned = OmegaConf.create(dict(reversed(plain.items())))
    assert identities.identity(turned, "code", "data") == identity()


def test_identity_leaves_the_config_as_it_was() -> None:
    cfg = config()
    identities.identity(cfg, "code", "data")
    assert cfg == config()


def test_identity_is_the_same_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    code = (
        "import sys; from omegaconf import OmegaConf; from convline.records import identity; "
        "print(identity.identity(OmegaConf.load(sys.argv[1]), 'code', 'data'))"
    )
    done = shell(sys.executable, "-c", code, str(tmp_path / "config.yaml"), PYTHONHASHSEED="1")
    assert done.status == 0, done.err
    assert done.out.strip() == identity()


def test_identity_sees_changes_of_computing_code_only(tmp_path: Path) -> None:
    package = (
        Path(shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))) / "convline"
    )

    def git(*arguments: str) -> None:
        settings = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        done = shell("git", *settings, *arguments, cwd=tmp_path)
        assert done.status == 0, done.err

    def key() -> str:
        code = "import omegaconf, convline.records.identity as p; print(p.code_key(omegaconf.DictConfig({})))"
        done = shell(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(tmp_path / "src"))
        assert done.status == 0, done.err
        return done.out

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "all")
    first = key()
    with open(package / "reporting" / "page.css", "a") as file:
        file.write("p { color: red }\n")
    (package / "figures" / "new.py").write_text("NEW = 1\n")
    assert key() == first  # uncommitted
    git("add", "-A")
    git("commit", "-qm", "a color")
    assert key() == first
    (package / "network" / "new.py").write_text("NEW = 1\n")
    changed = key()
    assert changed != first
    git("add", "-A")
    git("commit", "-qm", "a layer")
    assert key() not in (first, changed)
    shutil.rmtree(tmp_path / ".git")  # such as an archive of the files, or an installed package
    without_git = key()
    assert key() == without_git
    (package / "figures" / "new.py").write_text("NEW = 2\n")
    assert key() == without_git
    (package / "network" / "new.py").write_text("NEW = 2\n")
    assert key() != without_git
