"""An option of one's own in every config group, from each place where it may lie, and through the life of a run."""

import json
from pathlib import Path

import pytest

from support.commands import Done, convline, run_dirs, train

SHORT = ["callbacks=plain", "trainer=cpu", "trainer.max_epochs=1", "data.per_class=20"]
CODE = """
import os

import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.profilers import SimpleProfiler
from torch import nn
from torchmetrics.classification import MulticlassHammingDistance

from convline.data.datamodule import DataModule
from convline.data.sources import digits


def note(name):
    with open(os.environ["USED"], "a") as file:
        file.write(name + "\\n")


class Net(nn.Sequential):
    def __init__(self, width=8):
        note("model")
        super().__init__(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 10))


class Data(DataModule):
    def read(self):
        note("data")
        super().read()


def source(split):
    note("data.source")
    return digits(split)


def loss(logits, targets):
    note("loss")
    return nn.functional.cross_entropy(logits, targets)


class Hamming(MulticlassHammingDistance):
    def __init__(self):
        note("metrics")
        super().__init__(10)


class Optimizer(torch.optim.SGD):
    def __init__(self, params, lr):
        note("optimizer")
        super().__init__(params, lr)


def schedule(total_steps, steps_per_epoch):
    note("scheduler")
    return lambda step: 1 - step / (total_steps + 1)


class Watch(Callback):
    def on_fit_start(self, trainer, pl_module):
        note("callbacks")


class Logger(CSVLogger):
    def __init__(self, save_dir):
        note("logger")
        super().__init__(save_dir)


class Profiler(SimpleProfiler):
    def setup(self, stage, local_rank=None, log_dir=None):
        note("trainer")
        super().setup(stage, local_rank, log_dir)
"""
MODULE = "own_parts"
DIGITS = "channels: 1\nimage_size: 8\nnum_classes: 10\nbatch_size: 32\n"
METRIC = f"{{_target_: {MODULE}.Hamming, name: hamming, lower_is_better: true}}"
# By group: the option's file and text, and the words that have its target instead; an experiment is a file alone.
# The metrics are a list at the top of the config, which an experiment may hold.
GROUPS: dict[str, tuple[str, str, list[str] | None]] = {
    "model": ("model", f"_target_: {MODULE}.Net\nwidth: 4\n", [f"model._target_={MODULE}.Net", "model.width=4"]),
    "data": (
        "data",
        f"defaults: [/schema/data@_here_, _common, _self_]\n_target_: {MODULE}.Data\n"
        f"source: {{_target_: convline.data.sources.digits, _partial_: true}}\n{DIGITS}",
        [f"data._target_={MODULE}.Data"],
    ),
    "data.source": (
        "data",
        f"defaults: [/schema/data@_here_, _common, _self_]\nsource: {{_target_: {MODULE}.source}}\n{DIGITS}",
        [f"data.source._target_={MODULE}.source"],
    ),
    "loss": ("loss", f"_target_: {MODULE}.loss\n", [f"loss._target_={MODULE}.loss"]),
    "metrics": ("experiment", f"# @package _global_\nmetrics: [{METRIC}]\n", [f"metrics=[{METRIC}]"]),
    "optimizer": ("optimizer", f"_target_: {MODULE}.Optimizer\nlr: 0.05\n", [f"optimizer._target_={MODULE}.Optimizer"]),
    "scheduler": ("scheduler", f"_target_: {MODULE}.schedule\n", [f"scheduler._target_={MODULE}.schedule"]),
    "callbacks": (
        "callbacks",
        f"defaults: [plain, _self_]\nwatch: {{_target_: {MODULE}.Watch}}\n",
        [f"+callbacks.watch._target_={MODULE}.Watch"],
    ),
    "logger": (
        "logger",
        f"defaults: [default, _self_]\nmine: {{_target_: {MODULE}.Logger}}\n",
        [f"+logger.mine._target_={MODULE}.Logger"],
    ),
    "trainer": (
        "trainer",
        f"defaults: [cpu, _self_]\nprofiler: {{_target_: {MODULE}.Profiler}}\n",
        [f"trainer.profiler={{_target_: {MODULE}.Profiler}}"],
    ),
    "experiment": ("experiment", "# @package _global_\ndefaults: [{override /model: own_model}]\nseed: 3\n", None),
}
WAYS = ["--config-dir", "hydra.searchpath", "./conf", "_target_"]


class Project:
    """A folder with the code, and one with an option of each group."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / f"{MODULE}.py").write_text(CODE)
        for group, (place, text, _) in GROUPS.items():
            path = folder / "conf" / place / f"{self.option(group)}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    @staticmethod
    def option(group: str) -> str:
        return f"own_{group.replace('.', '_')}"

    def words(self, group: str, way: str) -> list[str]:
        """What is typed in this folder, or with a way of its own in another one, to have the group's option."""
        place, _, targets = GROUPS[group]
        if way == "_target_":
            assert targets is not None
            return targets
        places = {
            "--config-dir": ["--config-dir", str(self.folder / "conf")],
            "hydra.searchpath": [f"hydra.searchpath=[file://{self.folder / 'conf'}]"],
            "./conf": [],
        }
        return [*places[way], f"{place}={self.option(group)}"]

    def stand_in(self, way: str) -> Path:
        return self.folder.parent / "elsewhere" if way in ("--config-dir", "hydra.searchpath") else self.folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("USED", str(tmp_path / "used.txt"))
    (tmp_path / "project").mkdir()
    return Project(tmp_path / "project")


def used(project: Project) -> set[str]:
    """The groups whose code has run; an experiment has chosen the model's."""
    return set((project.folder.parent / "used.txt").read_text().split())


def words_of(group: str, words: list[str]) -> list[str]:
    """Without what would overrule the option."""
    return [word for word in SHORT if not any(own.startswith(f"{word.partition('=')[0]}=") for own in words)] + words


def output(done: Done) -> str:
    assert done.status == 0, done.err
    return done.out


def test_an_option_of_each_group_at_once(project: Project) -> None:
    """From the folder `conf`, all in one run; of the two options of `data`, the one with a source of its own."""
    words = [project.words(group, "./conf")[-1] for group in GROUPS if group not in ("data", "experiment")]
    output(train(project.folder, *words, "trainer.max_epochs=1", "data.per_class=20"))
    assert used(project) == GROUPS.keys() - {"data", "experiment"}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("group", GROUPS)
def test_an_option_of_the_group_runs_from_each_place(group: str, way: str, project: Project) -> None:
    if GROUPS[group][2] is None and way == "_target_":
        pytest.skip("an experiment is a file")
    output(train(project.stand_in(way), *words_of(group, project.words(group, way))))
    assert {"experiment": "model"}.get(group, group) in used(project)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_a_run_with_it_is_resumed_swept_and_reported(group: str, project: Project) -> None:
    """Resumed from another folder, as if it had been killed before it wrote its outcome."""
    words = words_of(group, project.words(group, "./conf"))
    output(train(project.folder, *words))
    (run_dir,) = run_dirs(project.folder)
    summary = json.loads((run_dir / "summary.json").read_text())
    (run_dir / "summary.json").write_text(json.dumps({**summary, "status": "interrupted"}))
    assert "Going on from" in output(train(project.folder.parent, f"resume={run_dir}"))
    assert "2 to do" in output(train(project.folder, *words, "-m", "seed=0,1"))
    assert "2 finished already" in output(train(project.folder, *words, "-m", "seed=0,1"))
    table = output(convline(project.folder, "report", "runs"))
    assert "val/acc" in table
