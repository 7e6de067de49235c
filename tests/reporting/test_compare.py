"""`convline compare`: its groups, its words, the command."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from convline.errors import UserError
from convline.records import test_log
from convline.reporting.compare import as_dict
from convline.reporting.comparison import find_groups
from convline.reporting.several_groups import compare_several, letter_display
from convline.reporting.statistics import seeds_needed
from convline.reporting.verdict import paragraphs, paragraphs_of_several
from support.commands import SMALL, convline, run_dirs, train
from support.compared import comparison_of, made, predict, two_models
from support.made_runs import base_config, make_run

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


# --- words ----------------------------------------------------------------------------------------------------------


def said(folders: list[str], part: str = "test", figure: str = "acc") -> str:
    return " ".join(paragraphs(comparison_of(folders, f"{part}/{figure}")))


def test_a_clear_difference_is_said(tmp_path: Path) -> None:
    text = said(two_models(tmp_path, [0.990, 0.991, 0.992], [0.970, 0.971, 0.972]))
    assert text.startswith(
        "The data support a difference: model=lenet is better than model=dense in test/acc, by 2.00 points"
    )
    assert "with 95 % confidence between 1.77 and 2.23 points." in text  # 2 ± 2.776 × 0.1 × sqrt(2/3)


def test_the_better_one_is_named_for_a_loss_too(tmp_path: Path) -> None:
    text = said(two_models(tmp_path, [0.990, 0.991, 0.992], [0.970, 0.971, 0.972]), figure="loss")
    assert "model=lenet is better than model=dense in test/loss, by 0.0400" in text


def test_no_difference_says_how_many_seeds_would_settle_it(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.980, 0.982, 0.984], [0.979001, 0.980999, 0.983])  # 0.1 points, deviation 0.2
    needed = seeds_needed(0.001, 0.002, 0.002)
    text = said(folders)
    assert text.startswith(
        "The data do not support a difference: the 95 % interval of A − B over seeds, -0.35 to +0.55"
    )
    assert f"roughly {needed} seeds of each, {needed - 3} more, would confirm it" in text  # type: ignore[operator]
    at_most = seeds_needed(0.001 + 2.776445 * 0.002 * math.sqrt(2 / 3), 0.002, 0.002)
    assert f"; {at_most} if the difference is as large as the interval allows" in text
    assert "Paired by seed (3 pairs), the interval is +0.10 to +0.10 points, which excludes 0." in text
    nearly = said(two_models(tmp_path / "nearly", [0.98, 0.99], [0.98001, 0.99001]))
    assert "more than 1,000 seeds of each would be needed" in nearly
    equal = said(two_models(tmp_path / "equal", [0.98, 0.99], [0.99, 0.98]))
    assert "The means are equal; the true difference may be as large as 3.04 points." in equal  # 4.303 × 1 / sqrt(2)


def test_a_side_that_was_chosen_among_several_is_said_to_be(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.990, 0.991, 0.992], [0.970, 0.971, 0.972])
    for seed, accuracy in enumerate([0.981, 0.980, 0.982]):
        make_run(tmp_path / "lenet" / f"other{seed}", base_config(), {"optimizer.lr": 0.5, "seed": seed}, accuracy)
    text = said(folders)
    assert "A was chosen as the best of 2 configurations by val/acc" in text
    assert "train it with seeds that chose nothing: --confirm 5" in text
    assert "B was chosen" not in text


@pytest.mark.parametrize(
    ("few", "many", "is_warned_of"),
    [(2, 2, False), (2, 3, True), (3, 3, False), (3, 4, True), (4, 7, False), (4, 8, True), (5, 10, False)],
)
def test_few_and_uneven_seeds_are_warned_of(few: int, many: int, is_warned_of: bool, tmp_path: Path) -> None:
    # without the warning, such an interval misses the truth in at most 6 % of cases: docs/statistics.md
    text = said(two_models(tmp_path, [0.99 - 0.001 * i for i in range(few)], [0.97 + 0.001 * i for i in range(many)]))
    assert (f"One side has {few} seeds and the other {many}" in text) == is_warned_of


def test_seeds_that_agree_give_no_verdict(tmp_path: Path) -> None:
    text = said(two_models(tmp_path, [0.99, 0.99], [0.97, 0.97]))
    assert text.startswith("No verdict on the configurations: the seeds of each side gave the same value")
    assert "support a difference" not in text


def test_one_seed_gives_no_verdict_but_mcnemar(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.99], [0.97])
    text = said(folders)
    assert text.startswith("No verdict on the configurations: there is one seed of A and B")
    assert "no saved logits" in text
    predict(tmp_path / "lenet" / "seed=0", np.arange(400) >= 4)
    predict(tmp_path / "dense" / "seed=0", np.arange(400) < 380)
    text = said(folders)
    assert "of 400 test images A alone has 20 correct and B alone 4; the data support a difference in accuracy" in text
    assert "there is one seed of B" in said(two_models(tmp_path / "more", [0.99, 0.98], [0.97]))


def test_validation_figures_come_with_a_warning(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.99, 0.98], [0.97, 0.96])
    assert "These are validation metrics, which have chosen the checkpoints" in said(folders, part="val")
    assert "validation metrics" not in said(folders)


def test_test_set_evaluations_are_told(tmp_path: Path) -> None:
    folders = two_models(tmp_path / "runs", [0.99, 0.98], [0.97, 0.96])
    for run in (tmp_path / "runs").glob("*/*"):
        test_log.record(run, "train", "f")
    assert "The test set was evaluated 4 times" in said(folders)


def test_few_differing_images_are_no_proof_for_other_images(tmp_path: Path) -> None:
    folders = two_models(tmp_path, [0.99, 0.98], [0.97, 0.96])
    for seed in (0, 1):
        predict(tmp_path / "lenet" / f"seed={seed}", np.arange(400) >= 0)
        predict(tmp_path / "dense" / f"seed={seed}", np.arange(400) >= 5)
    text = said(folders)
    assert "these networks may be alike: only 5 images of 400 tell them apart" in text
    for seed in (0, 1):
        predict(tmp_path / "dense" / f"seed={seed}", np.arange(400) >= 6)
    assert "On other images of the kind, these networks would differ" in said(folders)


# --- more than two groups -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_groups", "different", "letters"),
    [
        (3, [], ["a", "a", "a"]),
        (3, [(0, 2)], ["a", "ab", "b"]),
        (3, [(0, 1), (0, 2)], ["a", "b", "b"]),
        (3, [(0, 1), (0, 2), (1, 2)], ["a", "b", "c"]),
        (4, [(0, 2), (0, 3), (1, 3)], ["a", "ab", "bc", "c"]),
        (4, [(0, 1)], ["a", "b", "ab", "ab"]),
    ],
)
def test_letters_by_hand(num_groups: int, different: list[tuple[int, int]], letters: list[str]) -> None:
    assert letter_display(num_groups, different) == letters


@given(st.integers(2, 8).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_two_groups_share_no_letter_exactly_if_they_differ(drawn: tuple[int, set[tuple[int, int]]]) -> None:
    num_groups, pairs = drawn
    different = {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}
    letters = letter_display(num_groups, sorted(different))
    assert all(letters)
    for i, j in itertools.combinations(range(num_groups), 2):
        assert (not set(letters[i]) & set(letters[j])) == ((i, j) in different)


def three_models(folder: Path, *figures: list[float]) -> None:
    for model, values in zip(("lenet", "dense", "alexnet"), figures, strict=True):
        for seed, accuracy in enumerate(values):
            made(folder / model / f"seed={seed}", accuracy, model, seed)


def test_three_groups_are_compared_each_with_each(tmp_path: Path) -> None:
    three_models(tmp_path, [0.990, 0.992, 0.991], [0.970, 0.971, 0.972], [0.9905, 0.9909, 0.9921])
    groups = find_groups([str(tmp_path)], "model", "test/acc")
    result = compare_several(groups, "test/acc")
    assert [group.name for group in result.groups] == ["model=alexnet", "model=lenet", "model=dense"]
    assert result.letters == ["a", "a", "b"]
    p = [stats.ttest_ind(*(result.groups[i].sample("test/acc").values for i in pair), equal_var=False).pvalue
         for pair in ((0, 1), (0, 2), (1, 2))]  # fmt: skip
    first, second = sorted(p[1:])
    assert sorted(pair.adjusted for pair in result.pairs) == pytest.approx(
        [3 * first, max(3 * first, 2 * second), p[0]]
    )
    text = " ".join(paragraphs_of_several(result))
    assert "Groups without a common letter differ, with 95 % confidence over all 3 comparisons together" in text
    assert "2 of 3 pairs" in text


def test_groups_of_few_and_uneven_seeds_are_warned_of(tmp_path: Path) -> None:
    # eight groups of 2 and of 10 seeds that are alike: some pair seems to differ in up to 24 % of cases
    three_models(tmp_path / "uneven", [0.99, 0.98], [0.97, 0.972, 0.971], [0.95])
    result = compare_several(find_groups([str(tmp_path / "uneven")], "model", "test/acc"), "test/acc")
    assert "One group has 2 seeds and another 3: " in " ".join(paragraphs_of_several(result))
    three_models(tmp_path / "even", [0.99, 0.98], [0.97, 0.972], [0.95])
    result = compare_several(find_groups([str(tmp_path / "even")], "model", "test/acc"), "test/acc")
    assert "One group" not in " ".join(paragraphs_of_several(result))


def test_groups_of_one_seed_are_told_apart_by_nothing(tmp_path: Path) -> None:
    three_models(tmp_path, [0.99], [0.97], [0.95])
    result = compare_several(find_groups([str(tmp_path)], "model", "test/acc"), "test/acc")
    assert result.letters == ["a", "a", "a"]
    text = " ".join(paragraphs_of_several(result))
    assert "The data support no difference between any two of them" in text
    assert "3 pairs could not be tested" in text


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
