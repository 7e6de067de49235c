"""`convline compare`: its groups and the command."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from convline.errors import UserError
from convline.reporting.compare import as_dict
from convline.reporting.comparison import find_groups
from convline.reporting.statistics import seeds_needed
from support.commands import SMALL, convline, run_dirs, train
from support.compared import comparison_of, made, predict, three_models, two_models

# --- groups ---------------------------------------------------------------------------------------------------------


def names(*group: str, by: str | None = None) -> list[tuple[str, list[str]]]:
    return [(side.name, [run.folder.name for run in side.runs]) for side in find_groups(group, by, "test/acc")]


def test_groups_are_folders_lists_or_values_of_a_setting(tmp_path: Path) -> None:
    a, b = two_models(tmp_path, [0.9, 0.91], [0.8, 0.81])
    expected = [("model=lenet", ["seed=0", "seed=1"]), ("model=dense", ["seed=0", "seed=1"])]
    assert names(a, b) == expected
    assert names(f"{a}/seed=0", f"{a}/seed=1", "vs", b) == expected
    assert names(str(tmp_path), by="model") == expected[::-1]
    assert names(str(tmp_path), by="model=lenet,dense") == expected
    assert names(f"{a}/seed=0", f"{a}/seed=1") == [(f"{a}/seed=0", ["seed=0"]), (f"{a}/seed=1", ["seed=1"])]


def test_of_several_configurations_validation_chooses(tmp_path: Path) -> None:
    for lr, accuracy in ((0.1, 0.9), (0.2, 0.95), (0.3, 0.8)):
        for seed in (0, 1):
            made(tmp_path / "a" / f"{lr},{seed}", accuracy, lr=lr, seed=seed)
    made(tmp_path / "b", 0.7, "dense")
    made(tmp_path / "a" / "broken", 0.99, status="failed")
    a, _ = find_groups([str(tmp_path / "a"), str(tmp_path / "b")], None, "test/acc")
    assert [run.folder.name for run in a.runs] == ["0.2,0", "0.2,1"]
    assert a.notes == ["1 run not finished and left out", "the best of 3 configurations by val/acc: lr=0.2"]


def test_of_several_configurations_the_lowest_loss_is_chosen_where_it_is_watched(tmp_path: Path) -> None:
    for lr, accuracy in ((0.1, 0.9), (0.2, 0.95)):
        run = made(tmp_path / "a" / f"{lr}", accuracy, lr=lr)
        config = (run / "config.yaml").read_text().replace("monitor: val/acc", "monitor: val/loss")
        (run / "config.yaml").write_text(config)
    made(tmp_path / "b", 0.7, "dense")
    a, _ = find_groups([str(tmp_path / "a"), str(tmp_path / "b")], None, "test/acc")
    assert [run.folder.name for run in a.runs] == ["0.2"]
    assert a.notes == ["the best of 2 configurations by val/loss: lr=0.2"]


@pytest.mark.parametrize(
    ("group", "by", "said"),
    [
        (["A"], None, "compare takes two groups of runs or more, but got: A"),
        (["A", "B", "A"], None, "convline compare A1 A2 vs B1 B2"),
        (["A", "vs"], None, "compare takes two groups"),
        (["A", "vs", "B", "vs", "A"], None, "a run cannot be compared with itself"),
        (["A", "nowhere"], None, "nowhere is not there"),
        (["A", "A"], None, "a run cannot be compared with itself"),
        (["A", "failed"], None, "none of 1 run there is finished and has test/acc"),
        (["."], "model=lenet", "this must give at least two groups"),
        (["."], "model=lenet,vgg", "this must give at least two groups"),
        (["."], "modle", r"no setting of these runs \(did you mean 'model'\?\)"),
        (["."], "_target_", "is one of .*: type it in full"),
    ],
)
def test_what_is_no_two_groups_is_one_screen(
    group: list[str], by: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, model in (("A", "lenet"), ("B", "dense"), ("C", "alexnet")):
        made(Path(name), 0.9, model)
    made(Path("failed"), 0.9, status="failed")
    with pytest.raises(UserError, match=f"(?s){said}"):
        find_groups(group, by, "test/acc")


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_as_it_is_made_is_compared(tmp_path: Path) -> None:
    words_ = [word for word in SMALL if not word.startswith("'model") and not word.startswith("model")]
    done = train(tmp_path, "-m", *words_, "model=dense,lenet", "seed=0,1", "trainer.max_epochs=1")
    assert done.status == 0, done.err
    sweep = run_dirs(tmp_path)[0].parent
    done = convline(tmp_path, "compare", str(sweep), "--by", "model", "--json", "out.json")
    assert done.status == 0, done.err
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "test/acc of the checkpoints that validation chose"
    assert lines[1].startswith("A model=dense test/acc % ")
    assert lines[1].endswith("(2) seeds 0, 1")
    assert "A − B (points) 95 % interval by" in lines
    assert any(line.startswith("over images ") and line.endswith("bootstrap, 100 images") for line in lines)
    assert "A alone correct B alone correct McNemar's p" in lines
    assert any(line.startswith("seed 1 ") for line in lines)
    assert "The test set was evaluated 4 times" in done.out
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["metric"] == "test/acc"
    assert content["a"]["seeds"] == [0, 1]
    value = content["a"]["mean"] - content["b"]["mean"]
    assert content["over_seeds"]["value"] == pytest.approx(value)
    assert content["images"]["difference"]["value"] == pytest.approx(value), "logits and summary say the same"
    assert len(content["images"]["pairs"]) == 2
    on_val = convline(tmp_path, "compare", str(sweep), "--by", "model", "--on", "val", "--metric", "loss")
    assert on_val.status == 0, on_val.err
    assert on_val.out.startswith("val/loss of the checkpoints")


def test_a_mistake_is_one_screen_and_a_status(tmp_path: Path) -> None:
    done = convline(tmp_path, "compare", "a")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: compare takes two groups of runs or more, but got: a\n")
    made(tmp_path / "a", 0.9)
    made(tmp_path / "b", 0.8, "dense")
    done = convline(tmp_path, "compare", "a", "b", "--json", "missing/x.json")
    assert done.status == 1
    assert "error: --json missing/x.json: it cannot be written" in done.err


def written(folders: list[str]) -> dict[str, Any]:
    """What `--json` gives, read again."""
    content = json.loads(json.dumps(as_dict(comparison_of(folders)), allow_nan=False))
    assert isinstance(content, dict)
    return content


def test_everything_is_json(tmp_path: Path) -> None:
    one = written(two_models(tmp_path, [0.99], [0.97]))
    assert one["metric"] == "test/acc"
    assert one["a"] == {
        "name": "model=lenet",
        "runs": [str(tmp_path / "lenet" / "seed=0")],
        "seeds": [0],
        "values": [pytest.approx(0.99)],
        "mean": pytest.approx(0.99),
        "sd": None,
        "notes": [],
    }
    assert [one[key] for key in ("over_seeds", "by_seed", "seeds_needed", "images")] == [None] * 4
    assert one["verdict"][0].startswith("No verdict on the configurations")
    two = written(two_models(tmp_path / "two", [0.99, 0.98], [0.97, 0.93]))
    assert (two["a"]["mean"], two["b"]["mean"]) == pytest.approx((0.985, 0.95))
    assert (two["a"]["sd"], two["b"]["sd"]) == pytest.approx((0.005 * math.sqrt(2), 0.02 * math.sqrt(2)))
    # differences 0.02 and 0.05: mean 0.035, standard error 0.015, one degree of freedom
    assert [two[way]["value"] for way in ("over_seeds", "by_seed")] == pytest.approx([0.035, 0.035])
    assert two["by_seed"]["high"] == pytest.approx(0.035 + stats.t.ppf(0.975, 1) * 0.015)
    assert two["by_seed"]["n"] == 2
    assert two["seeds_needed"] == seeds_needed(0.035, two["a"]["sd"], two["b"]["sd"])
    predict(tmp_path / "lenet" / "seed=0", np.arange(400) >= 4)
    predict(tmp_path / "dense" / "seed=0", np.arange(400) >= 12)
    images = written([str(tmp_path / "lenet"), str(tmp_path / "dense")])["images"]
    assert images["difference"]["value"] == pytest.approx(8 / 400)
    assert "p" not in images["difference"], "the bootstrap has none, and NaN is no JSON"
    assert [(pair["only_a"], pair["only_b"]) for pair in images["pairs"]] == [(8, 0)]


def test_more_than_two_groups_on_the_terminal_and_as_json(tmp_path: Path) -> None:
    three_models(tmp_path / "runs", [0.990, 0.992, 0.991], [0.970, 0.971, 0.972], [0.9905, 0.9909, 0.9921])
    done = convline(tmp_path, "compare", "runs", "--by", "model", "--json", "x.json")
    assert done.status == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert ["2", "model=lenet", "99.10", "±", "0.10", "(3)", "3", "a"] in rows
    assert ["3", "model=dense", "97.10", "±", "0.10", "(3)", "3", "b"] in rows
    content = json.loads((tmp_path / "x.json").read_text())
    assert [group["letters"] for group in content["groups"]] == ["a", "a", "b"]
    assert len(content["pairs"]) == 3


@pytest.mark.slow
def test_a_chosen_configuration_is_confirmed_by_fresh_seeds(tmp_path: Path) -> None:
    done = train(tmp_path, "-m", *SMALL, "optimizer.lr=0.05,0.001", "data.batch_size=32,64", "seed=0,1")
    assert done.status == 0, done.err
    (sweep,) = [path.parent for path in (tmp_path / "runs").glob("*/sweep.json")]
    command = ("compare", str(sweep), "--by", "lr=0.05,0.001", "--confirm", "2", "--json", "x.json")
    done = convline(tmp_path, *command)
    assert done.status == 0, done.err
    assert "was chosen as the best of 2 configurations" in done.out
    (folder,) = (tmp_path / "runs").glob("*_confirm")
    runs = [path.parent for path in folder.glob("*/config.yaml")]
    assert sorted(yaml.safe_load((run / "config.yaml").read_text())["seed"] for run in runs) == [2, 2, 3, 3]
    fresh = done.out.split("fresh seeds alone")[1]
    assert "was chosen" not in fresh
    content = json.loads((tmp_path / "x.json").read_text())
    assert (content["a"]["seeds"], content["b"]["seeds"]) == ([2, 3], [2, 3])
    again = convline(tmp_path, "compare", str(tmp_path / "runs"), *command[2:])
    assert again.status == 0, again.err
    assert len(list(folder.glob("*/config.yaml"))) == 4, "nothing was trained twice"
    assert again.out.split("fresh seeds alone")[1] == fresh
