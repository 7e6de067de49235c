"""docs/patterns.md says what is so: its code runs, its YAML builds, its tables name every unit and model."""

import re
from pathlib import Path

import torch
import yaml

from convline.commands.describe import describe
from convline.network.build import build_network
from convline.pattern.vocabulary import ALIASES, CANONICAL, UNITS, normalized

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "patterns.md").read_text()


def fenced(language):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [text for name, text in blocks if name == language]


def test_the_python_runs():
    blocks = fenced("python")
    assert len(blocks) == 2
    names: dict[str, object] = {}
    with torch.device("meta"):
        for code in blocks:
            exec(code, names)


def test_the_yaml_builds():
    residual, inception = map(yaml.safe_load, fenced("yaml"))
    with torch.device("meta"):
        network = build_network(residual.pop("pattern"), (3, 32, 32), 10, **residual)
        assert sum(p.numel() for p in network.parameters()) == 11_173_962
        build_network("inception(1, 2, 3, 4, 5, 6) -> gap -> fc", (3, 8, 8), 10, **inception)


def test_the_units_are_all_there_with_their_defaults():
    rows = [line for line in PAGE.split("## Units")[1].split("##")[0].splitlines() if line.startswith("| `")]
    first = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in rows]
    named = [name for names in first for name in names]
    assert {CANONICAL[normalized(name)] for name in named} == set(UNITS)
    assert {name for name in named if name not in UNITS} <= set(ALIASES)
    for names, row in zip(first, rows, strict=True):
        for name in names:
            for key, value in (
                re.findall(r"(\w+)=([\w.-]+)", row) if name in ("conv", "local", "pool", "dropout") else []
            ):
                default = {p.name: p.default for p in UNITS[name]}[key]
                assert yaml.safe_load(value) == default or float(value) == default


def test_the_models_are_all_there():
    zoo = PAGE.split("## The zoo")[1]
    for path in (ROOT / "conf" / "model").glob("*.yaml"):
        assert f"`{path.stem}`" in zoo or (path.stem.startswith("vgg") and "`vgg11` to `vgg19`" in zoo), path.stem


def test_the_table_is_what_describe_prints(capsys):
    describe(["model=lenet", "data=mnist"])
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    shown = next(block for block in fenced("") if block.startswith("model=lenet")).splitlines()
    assert [line for line in printed if line] == [line.rstrip() for line in shown if line]
