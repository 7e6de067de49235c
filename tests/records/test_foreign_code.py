"""A stranger's run directory runs no code: nothing that loads, runs, writes or deletes is built without --trust."""

import copy
import sys
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import DictConfig, OmegaConf

from convline.errors import UserError
from convline.records import foreign_code
from convline.records.directory import read_trusted_config
from convline.records.foreign_code import allow_code, take_trust
from support.made_runs import base_config

# Twenty that load, run, write or delete, and what they would be given.
TARGETS: dict[str, dict[str, Any]] = {
    "torch.load": {"f": "evil.pt", "weights_only": False},
    "numpy.load": {"file": "evil.npy", "allow_pickle": True},
    "logging.FileHandler": {"filename": "written"},
    "os.remove": {"path": "x"},
    "functools.partial": {"_args_": [{"_target_": "builtins.exec"}, "1"]},
    "torch.hub.load": {"repo_or_dir": "a/b", "model": "c"},
    "lightning.pytorch.Trainer": {"default_root_dir": "/tmp/x"},
    "torch.utils.cpp_extension.load": {"name": "x", "sources": ["x.cpp"]},
    "hydra.utils.get_method": {"path": "os.system"},
    "hydra.utils.instantiate": {"config": {"_target_": "os.system"}},
    "shutil.rmtree": {"path": "x"},
    "pickle.loads": {"data": "x"},
    "builtins.eval": {"_args_": ["1"]},
    "lightning.pytorch.callbacks.ModelCheckpoint": {"dirpath": "/tmp/x"},
    "lightning.pytorch.loggers.CSVLogger": {"save_dir": "/tmp/x"},
    "lightning.pytorch.profilers.SimpleProfiler": {"dirpath": "/tmp/x", "filename": "y"},
    "torchvision.datasets.ImageNet": {"root": "x"},
    "torchmetrics.image.fid.FrechetInceptionDistance": {"feature_extractor_weights_path": "evil.pt"},
    "torch.nn.modules.module.functools.partial": {"_args_": [{"_target_": "os.system"}, "x"]},
    "convline.storage.write_text": {"path": "x", "text": "y"},
    "pathlib.Path.unlink": {"self": "x"},
    "urllib.request.urlretrieve": {"url": "file:///etc/passwd", "filename": "x"},
}
PLACES = [
    "model", "model.inner", "loss", "optimizer", "optimizer.base_optimizer", "scheduler", "classifier",
    "trainer.profiler", "trainer.strategy", "data", "data.source", "data.source.loader", "data.module",
    "callbacks.mine", "callbacks.norms.inner", "logger.mine", "metrics[0]", "anything",
]  # fmt: skip
CONFIG = base_config()


def write_run(folder: Path, config: Any) -> Path:
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    (folder / "summary.json").write_text('{"status": "interrupted"}')
    return folder


def put(config: Any, place: str, node: dict[str, Any]) -> Any:
    """Put a node in a place of a config, beside what else is there."""
    config = copy.deepcopy(config)
    if place == "metrics[0]":
        return {**config, "metrics": [node]}
    *parents, name = place.split(".")
    inner = config
    for parent in parents:
        inner = inner.setdefault(parent, {})
    before = inner.get(name)
    inner[name] = {**before, **node} if isinstance(before, dict) else node
    return config


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_loads_runs_writes_or_deletes_is_refused_in_every_place(target: str, tmp_path: Path) -> None:
    for place in PLACES:
        config = put(CONFIG, place, {"_target_": target, **TARGETS[target]})
        with pytest.raises(UserError, match="names the code"):
            allow_code(tmp_path, cast(DictConfig, config), [])
    write_run(tmp_path, put(CONFIG, "model", {"_target_": target, **TARGETS[target]}))
    with pytest.raises(
        UserError, match="names the code"
    ):  # `evaluate`, `figures`, `resume` and jobs of a sweep read it
        read_trusted_config(tmp_path)


def test_a_run_of_ours_is_read(tmp_path: Path) -> None:
    assert read_trusted_config(write_run(tmp_path, CONFIG)).seed == 0


@pytest.mark.parametrize(("place", "target"), [
    ("callbacks.mine", "lightning.pytorch.Trainer"),
    ("model", "lightning.pytorch.loggers.WandbLogger"),
    ("callbacks.mine", "convline.data.sources.mnist"),
    ("logger.mine", "convline.network.build_network"),
])  # fmt: skip
def test_what_an_option_names_is_refused_in_another_place(place: str, target: str, tmp_path: Path) -> None:
    write_run(tmp_path, put(CONFIG, place, {"_target_": target}))
    with pytest.raises(UserError, match=f"names the code {target} as {place}"):
        read_trusted_config(tmp_path)


@pytest.mark.parametrize(("place", "target"), [
    ("callbacks.mine", "lightning.pytorch.callbacks.LearningRateMonitor"),
    ("model", "torchvision.models.resnet18"),
    ("optimizer", "torch.optim.NAdam"),
    ("loss", "torch.nn.CrossEntropyLoss"),
    ("metrics[0]", "torchmetrics.classification.MulticlassF1Score"),
])  # fmt: skip
def test_harmless_classes_of_libraries_are_read(place: str, target: str, tmp_path: Path) -> None:
    cfg = read_trusted_config(write_run(tmp_path, put(CONFIG, place, {"_target_": target})))
    assert OmegaConf.select(cfg, f"{place}._target_") == target


@pytest.mark.parametrize(("key", "value"), [
    ("logger.tensorboard.name", "/tmp/elsewhere"),
    ("logger.tensorboard.version", "../../elsewhere"),
    ("logger.tensorboard.sub_dir", "~/elsewhere"),
    ("logger.tensorboard.tracking_uri", "http://elsewhere"),
])  # fmt: skip
def test_a_logger_writes_into_the_run_alone(key: str, value: str, tmp_path: Path) -> None:
    *_, name = key.split(".")
    write_run(tmp_path, put(CONFIG, "logger.tensorboard", {**CONFIG["logger"]["tensorboard"], name: value}))
    with pytest.raises(UserError, match="outside of the run"):
        read_trusted_config(tmp_path)


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "${first_batch:input_shape}", "x ${seed}"])
def test_a_reference_is_not_followed(value: str, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"status": "interrupted"}')
    text = OmegaConf.to_yaml(OmegaConf.create(CONFIG)).replace("runs_dir: runs", f"runs_dir: '{value}'")
    assert value in text
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="runs_dir refers to another setting"):
        read_trusted_config(tmp_path)


def test_trust_is_given_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVLINE_TRUST", "")
    write_run(tmp_path, put(CONFIG, "model", {"_target_": "torch.load"}))
    with pytest.raises(UserError, match=r"--trust torch\.load"):
        read_trusted_config(tmp_path)
    assert take_trust(["resume=x", "--trust", "os.remove"]) == ["resume=x"]
    with pytest.raises(UserError, match=r"--trust torch\.load"):
        read_trusted_config(tmp_path)
    assert take_trust(["--trust=torch.load", "resume=x"]) == ["resume=x"]
    assert read_trusted_config(tmp_path).model._target_ == "torch.load"
    with pytest.raises(UserError, match="needs a name"):
        take_trust(["resume=x", "--trust"])


@pytest.mark.parametrize(("key", "value", "problem"), [
    ("optimizer.lr", -1, "above 0"),
    ("optimizer.lr", "abc", "optimizer.lr"),
    ("trainer.max_epochs", 0, "at least 1"),
    ("data.batch_size", 0, "at least 1"),
    ("threads", 0, "at least 1"),
    ("threads", "x", "threads"),
    ("seed", -1, "from 0"),
    ("model", None, "model"),
    ("optimizer", 5, "optimizer"),
    ("data.batch_size", None, "data.batch_size"),
    ("callbacks.norms", 5, "callbacks.norms names no class"),
    ("trainer.precision", "8-bit", "one of"),
    ("model._target_", ["a"], "name of a class"),
])  # fmt: skip
def test_impossible_settings_are_refused_as_on_the_command_line(
    key: str, value: Any, problem: str, tmp_path: Path
) -> None:
    config = OmegaConf.create(copy.deepcopy(CONFIG))
    OmegaConf.update(config, key, value, merge=False, force_add=True)
    with pytest.raises(UserError, match=problem) as caught:
        read_trusted_config(write_run(tmp_path, config))
    assert "config.yaml" in str(caught.value)


def test_an_editable_package_with_a_finder_of_its_own_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edited_package.py"
    file.write_text("WIDTH = 1\n")

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> object:
            return spec_from_file_location(name, file) if name == "edited_package" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    target = {"_target_": "edited_package.Net"}

    def version() -> str:
        foreign_code._version.cache_clear()
        return foreign_code.code_of(target)["edited_package.Net"]

    first = version()
    assert first.startswith("source ")
    file.write_text("WIDTH = 2\n")
    assert version() not in (first, "not found")
