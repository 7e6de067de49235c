"""Every option of every group composes, fits its schema and names what exists."""

import itertools
import re
from typing import Any

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_object
from omegaconf import OmegaConf

from convline.config import expand_sweep, load_config
from convline.config.compose import sweep_params
from convline.config.options import CONF_DIR, groups
from convline.config.overrides import parse_overrides, sweep_values
from convline.config.schema import SCHEMAS
from convline.errors import UserError

OPTIONS = [f"{group}={option}" for group, options in groups().items() for option in options]
# no default can name a user's folder or class; here the groups' folders stand for classes
NEEDED = {
    "data=folder": [f"data.root={CONF_DIR}"],
    "data=datamodule": ["data.module._target_=support.own_images.BarsModule"],
}


def targets(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["_target_"]] if "_target_" in node else []
        return own + list(itertools.chain(*map(targets, node.values())))
    return []


@pytest.mark.parametrize("option", OPTIONS)
def test_option_composes_and_its_targets_exist(option: str) -> None:
    cfg = load_config([option, *NEEDED.get(option, [])])
    container = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    found = targets(container)
    assert len(found) >= 8
    for name in found:
        assert callable(get_object(name)), name


@pytest.mark.parametrize("option", OPTIONS)
def test_option_says_what_it_is_in_its_first_line(option: str) -> None:
    group, name = option.split("=")
    lines = (CONF_DIR / group / f"{name}.yaml").read_text().splitlines()
    head = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert head.startswith("# ")
    assert len(head) > 10


def test_every_data_set_names_its_source_license_and_size() -> None:
    for name in set(groups()["data"]) - {"synthetic", "folder", "datamodule"}:
        text = (CONF_DIR / "data" / f"{name}.yaml").read_text()
        assert "# Source: " in text
        assert re.search(r"CC BY|MIT license|no license stated|non-commercial", text), name
        assert re.search(r"[0-9×]+, [0-9]+ classes; (.* MB download|inside the package)", text.splitlines()[0]), name


def test_groups_are_typed() -> None:
    cfg = load_config(["data=mnist"])
    assert OmegaConf.get_type(cfg, "data") is SCHEMAS["folder_data"]
    assert OmegaConf.get_type(cfg, "optimizer") is SCHEMAS["sgd"]
    assert OmegaConf.get_type(cfg, "trainer") is SCHEMAS["trainer"]
    assert OmegaConf.get_type(cfg.callbacks, "checkpoint") is SCHEMAS["checkpoint"]


def test_values_have_one_home() -> None:
    for name, node in SCHEMAS.items():
        for key, field in OmegaConf.structured(node).items_ex(resolve=False):
            assert field == "???" or field is None, f"{name}.{key} has a value in the schema"


def test_defaults_of_the_main_job_are_the_documented_ones() -> None:
    defaults = yaml.safe_load((CONF_DIR / "train.yaml").read_text())["defaults"]
    assert {"data": "digits"} in defaults
    assert {"model": "lenet"} in defaults
    assert load_config().seed == 0


def test_expand_sweep_orders_as_hydra_does() -> None:
    assert expand_sweep(["a=1,2", "b=3", "c=range(2)"]) == [
        ["a=1", "b=3", "c=0"],
        ["a=1", "b=3", "c=1"],
        ["a=2", "b=3", "c=0"],
        ["a=2", "b=3", "c=1"],
    ]


def test_texts_in_choice_can_be_read_back() -> None:
    patterns = ["CONV(8) -> FC", "a's > b", "FC"]
    (override,) = parse_overrides([f'model.pattern=choice("{patterns[0]}", "{patterns[1]}", "{patterns[2]}")'])
    words = [f"model.pattern={text}" for text in sweep_values(override)]
    assert [read.value() for read in parse_overrides(words)] == patterns
    assert words[2] == "model.pattern=FC"  # as it is where that will do: it names directories


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("optimizr=sgd", "optimizer"),
        ("optimizer=adma", "adam"),
        ("trainer.max_epoch=3", "trainer.max_epochs"),
        ("classifier.ema=0.9", "classifier.ema_decay"),
        ("data.batchsize=3", "data.batch_size"),
        ("callbacks.checkpoint.monitr=val/acc", "callbacks.checkpoint.monitor"),
        ("data=emnist", "emnist_balanced"),  # begins with it; mnist only resembles it
    ],
)
def test_the_nearest_right_word_is_named(word: str, suggestion: str) -> None:
    with pytest.raises(UserError, match=f"did you mean '{suggestion}'"):
        load_config([word])


def test_composing_leaves_hydra_as_it_was() -> None:
    """Inside a job of a sweep, Hydra is set up already, and the job goes on with it."""
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        before = GlobalHydra.instance().hydra
        assert before is not None
        load_config(["seed=7"])
        assert sweep_params(["experiment=zoo_mnist"]) == {"model": "lenet,alexnet,zfnet,googlenet,vgg11,resnet20"}
        assert GlobalHydra.instance().hydra is before
