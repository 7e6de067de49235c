"""Lessons: verdicts by hand, contracts over all of them, and one done by the real command."""

import importlib.util
import json
import math
import re
import sys
from itertools import product
from pathlib import Path

import pytest

from convline.config import expand_sweep, load_configs
from convline.config.compose import sweep_params
from convline.errors import UserError
from convline.lessons import page
from convline.lessons.catalogue import LESSONS
from convline.lessons.claims import (
    BetterThan,
    ExactValue,
    PublishedMetric,
    QuotedStatement,
    check_all,
    prediction_interval,
)
from convline.lessons.hyperparameter_table import hyperparameter_rows
from convline.lessons.lesson import Lesson
from convline.lessons.reproduce import STORED_RESULTS, reproduce_lessons
from convline.lessons.results import ConfigurationResults, Results, load_results
from convline.reporting.statistics import Sample
from convline.sweeps.jobs import with_params
from support.commands import Done, convline, shell


def configuration(label: str, *values: float) -> ConfigurationResults:
    curves = {"val/loss": [[1.0, value] for value in values]}
    return ConfigurationResults(
        label, {}, list(range(len(values))), {"test/acc": list(values)}, curves, 10, 20, 3, 2, [2.0] * len(values)
    )


CONFIGURATIONS = (configuration("a", 0.90, 0.91, 0.92), configuration("b", 0.80, 0.81, 0.82), configuration("one", 0.9))
RESULTS = Results("lesson", {each.label: each for each in CONFIGURATIONS})


class TestPublishedMetric:
    def test_is_compared_with_where_one_further_run_would_lie(self) -> None:
        # t for two degrees of freedom 4.302653, standard deviation 0.01: 0.91 ± 4.302653 · 0.01 · √(4/3)
        low, high = prediction_interval(Sample((0.90, 0.91, 0.92)))
        assert (low, high) == pytest.approx((0.860317, 0.959683), abs=1e-6)
        assert PublishedMetric("x", "a", "test/acc", 0.8604).check(RESULTS).verdict == (
            "not contradicted: one further run lies in 86.03 % to 95.97 %"
        )
        assert PublishedMetric("x", "a", "test/acc", 0.8602).check(RESULTS).verdict == "higher by 4.98 points"
        assert PublishedMetric("x", "a", "test/acc", 0.9598).check(RESULTS).verdict == "lower by 4.98 points"

    @pytest.mark.parametrize(
        ("values", "verdict"),
        [
            ((0.910, 0.911, 0.912, 0.913, 0.914), "reproduced"),
            ((0.910, 0.911, 0.912, 0.913), "not contradicted"),  # four seeds
            ((0.90, 0.91, 0.912, 0.914, 0.92), "not contradicted"),  # 2.2 points on each side
        ],
    )
    def test_is_reproduced_by_five_seeds_of_a_narrow_interval(self, values: tuple[float, ...], verdict: str) -> None:
        results = Results("x", {"a": configuration("a", *values)})
        assert PublishedMetric("x", "a", "test/acc", 0.912).check(results).verdict.startswith(f"{verdict}: ")

    def test_without_spread_nothing_is_said(self) -> None:
        assert math.isnan(prediction_interval(Sample((0.9,)))[0])
        assert (
            PublishedMetric("x", "one", "test/acc", 0.5).check(RESULTS).verdict == "one run says nothing of the spread"
        )
        assert PublishedMetric("x", "missing", "test/acc", 0.5).check(RESULTS).verdict == "not run"
        equal = Results("x", {"a": configuration("a", 0.9, 0.9, 0.9)})
        assert PublishedMetric("x", "a", "test/acc", 0.9).check(equal).verdict == "equal runs say nothing of the spread"

    def test_may_be_that_of_an_epoch(self) -> None:
        found = PublishedMetric("loss", "b", "val/loss@2", 0.7).check(RESULTS)
        assert (found.published, found.reproduced) == ("0.7000", "0.8100 ± 0.0100 (3)")
        assert found.verdict == "higher by 0.110"  # 0.81 ± 0.0497
        assert not RESULTS.configuration("b").sample("val/loss@3").n


class TestBetterThan:
    def test_holds_where_the_interval_of_the_difference_excludes_zero(self) -> None:
        # standard error √(2 · 0.0001 / 3) = 0.008165, t for four degrees of freedom 2.776: 10 ± 2.27 points
        assert BetterThan("x", "a", "b").check(RESULTS).verdict == "holds: by 10.00 points (7.73 to 12.27)"
        assert BetterThan("x", "b", "a").check(RESULTS).verdict == "the opposite holds: by 10.00 points (7.73 to 12.27)"

    def test_is_not_decided_otherwise(self) -> None:
        near = Results("x", {"a": configuration("a", 0.90, 0.94), "b": configuration("b", 0.89, 0.93)})
        assert BetterThan("x", "a", "b").check(near).verdict.startswith("not decided: -")
        assert BetterThan("x", "a", "one").check(RESULTS).verdict == "too few seeds to say"


def test_a_difference_that_the_number_of_comparisons_may_explain_is_marked() -> None:
    # p of a above b is 0.0003, of c above d 0.032; Holm: twice the smaller one, and the larger as it is
    results = Results("x", {label: configuration(label, *values) for label, values in {
        "a": (0.90, 0.91, 0.92), "b": (0.80, 0.81, 0.82), "c": (0.90, 0.91, 0.92), "d": (0.88, 0.89, 0.896),
        "e": (0.9, 0.91, 0.92), "f": (0.89, 0.91, 0.93)}.items()})  # fmt: skip
    alone = check_all([BetterThan("x", "c", "d")], results)
    together = check_all([BetterThan("x", *pair) for pair in ("ab", "cd", "ef")], results)
    assert "Holm" not in alone[0].verdict
    assert "Holm" not in together[0].verdict
    assert "; not after Holm's correction for 3 comparisons, p = 0.0" in together[1].verdict
    assert together[2].verdict.startswith("not decided")


def test_numbers_and_sentences() -> None:
    assert ExactValue("x", "114", lambda: "114").check(RESULTS).verdict == "exact"
    assert ExactValue("x", "4M", lambda: "7M", "7M", "the notes err").check(RESULTS).verdict == "the notes err"
    assert ExactValue("x", "4M", lambda: "8M", "7M", "the notes err").check(RESULTS).verdict == "differs"
    assert ExactValue("x", "4M", lambda: "7M").check(RESULTS).verdict == "differs"
    found = QuotedStatement("s", lambda results: (f"{len(results.configurations)} configurations", True), "v").check(
        RESULTS
    )
    assert (found.reproduced, found.verdict) == ("3 configurations", "v")
    assert QuotedStatement("s", lambda results: ("none", False), "v").check(RESULTS).verdict == "not shown"


def test_runs_that_learned_nothing_are_counted() -> None:
    assert configuration("x", 0.1135, 0.9206, 0.2).num_failed == 2
    results = Results("mnist_dense", {"dense": configuration("dense", 0.1135, 0.9206, 0.1135)}, {})
    assert "38.25 ± 46.60 (3); 2 learned nothing |" in page.configurations_table(list(results.configurations.values()))
    assert "| 0.00 to 100.00 |" in page.configurations_table(list(results.configurations.values()))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], False),
        (["threads=1"], False),
        (["data.root=/data", "callbacks.progress=null"], False),
        (["threads=1", "trainer.max_epochs=1"], True),
        (["+optimizer.foreach=true"], True),
    ],
)
def test_settings_that_change_what_is_learned_are_told(words: list[str], expected: bool) -> None:
    results = Results("mnist_dense", {"dense": configuration("dense", 0.9, 0.8)}, {}, words)
    assert results.has_other_settings == expected
    text = page.lesson_markdown(LESSONS["mnist_dense"], results, "")
    assert ("Other settings than the lesson's" in text) == expected
    typed = " ".join(["convline reproduce mnist_dense --seeds 2", *(words if expected else ())])
    assert typed in text.replace("'", "")


def test_what_was_chosen_is_what_the_experiments_say() -> None:
    (row,) = hyperparameter_rows(LESSONS["mnist_keras_convnet"].sweeps, ["threads=1"])
    rmsprop = "RMSprop(lr=0.001, weight_decay=0.0, alpha=0.9, eps=1e-07, momentum=0.0)"
    assert row == (
        "mnist_keras_convnet",
        "keras",
        "cross-entropy",
        rmsprop,
        "constant(warmup=0.0)",
        "64",
        "5",
        "0 to 1",
        "1,000 images",
    )
    (changed,) = hyperparameter_rows(LESSONS["mnist_keras_convnet"].sweeps, ["data.batch_size=7"])
    assert changed[5] == "7"
    assert len(hyperparameter_rows(LESSONS["prior_ladder"].sweeps, [])) == 4


def test_results_are_kept_as_they_are(tmp_path: Path) -> None:
    RESULTS.save(tmp_path / "r.json")
    again = load_results(tmp_path / "r.json")
    assert again is not None
    assert again.configurations.keys() == RESULTS.configurations.keys()
    assert again.configuration("a").sample("test/acc") == RESULTS.configuration("a").sample("test/acc")
    assert load_results(tmp_path / "none.json") is None
    (tmp_path / "r.json").write_text('{"lesson": 1}')
    with pytest.raises(UserError, match=r"r\.json is damaged"):
        load_results(tmp_path / "r.json")


def test_tables_take_any_text() -> None:
    assert page.markdown_table(("a", "b"), [("1|2", "3")]) == "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |"


class TestHtmlPage:
    def test_html_from_outside_is_shown_as_text(self, tmp_path: Path) -> None:
        """The processor's name and overrides stand in the page's text; neither may become part of its HTML."""
        environment = {"date": "2026-01-01", "torch": "2", "processor": "<b onclick=x()>EPYC</b>"}
        results = Results(
            "mnist_dense",
            {"dense": configuration("dense", 0.9, 0.8)},
            environment,
            ["data.augment='<script>y</script>'"],
        )
        lesson = LESSONS["mnist_dense"]
        text = page.lesson_markdown(lesson, results, "")
        (tmp_path / "dense_curve.png").write_bytes(b"PNG")
        html = page.render_html("</title><i>", text, tmp_path)
        assert "&lt;b onclick=x()&gt;EPYC&lt;/b&gt;" in html
        assert "<b onclick" not in html
        assert "<script" not in html
        assert "<title>&lt;/title&gt;&lt;i&gt;</title>" in html

    def test_holds_its_figures_and_keeps_numbers_in_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "f.png").write_bytes(b"PNG")
        html = page.render_html("t", "![caption](f.png)\n\n12 12 -17 of `seed 1 2`", tmp_path)
        assert '<img src="data:image/png;base64,UE5H" alt="caption" />' in html
        assert "12\N{NO-BREAK SPACE}12\N{NO-BREAK SPACE}-17 of <code>seed 1 2</code>" in html


def test_a_list_of_lessons_needs_neither_torch_nor_matplotlib() -> None:
    code = "import sys, convline.lessons.reproduce; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert shell(sys.executable, "-c", code).status == 0


def test_without_the_extra_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'convline\[lessons\]'"):
        reproduce_lessons(["mnist_dense"], None, tmp_path, [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)
class TestEveryLesson:
    def test_has_a_label_for_each_of_its_configurations(self, lesson: Lesson) -> None:
        labels = [label for sweep in lesson.sweeps for label in sweep.labels]
        assert len(set(labels)) == len(labels)
        for sweep in lesson.sweeps:
            words = sweep.arguments(1)[1:]
            combinations = expand_sweep(with_params(words, sweep_params(words)))
            assert len(combinations) == len(sweep.labels)
            load_configs(combinations)

    def test_claims_and_figures_fit_any_results(self, lesson: Lesson) -> None:
        """Of a lesson without runs, and of one with made-up ones: every claim finds its configurations."""
        labels = [label for sweep in lesson.sweeps for label in sweep.labels]
        metrics = {
            name: [0.5, 0.6]
            for name in ("test/acc", "val/acc", *(f"translation/{d}/acc" for d in (*range(-4, 5), "±2", "±4")))
        }
        curves = {name: [[0.5] * 20, [0.6] * 20] for name in ("train/acc", "val/loss", "val/acc")}
        made = {
            label: ConfigurationResults(label, {}, [0, 1], metrics, curves, 5, 6, 7, 20, [1.0, 2.0]) for label in labels
        }
        results = Results(lesson.name, made, {"date": "2026-01-01", "torch": "2", "processor": "p"})
        for claim in lesson.claims():
            assert claim.check(Results(lesson.name)).verdict
            found = claim.check(results)
            assert found.verdict not in ("not run", "too few seeds to say", "differs"), claim
        assert "| claim |" in page.lesson_markdown(lesson, results, "")

    def test_what_is_kept_is_complete(self, lesson: Lesson) -> None:
        results = load_results(STORED_RESULTS / f"{lesson.name}.json")
        assert results is not None
        assert list(results.configurations) == [label for sweep in lesson.sweeps for label in sweep.labels]
        assert all((STORED_RESULTS / f"{name}.png").is_file() for name in lesson.figures)


def test_the_grid_of_patterns_is_named_as_it_is_swept() -> None:
    results = load_results(STORED_RESULTS / "pattern_grid.json")
    assert results is not None
    for n, m, k in product(range(4), range(4), range(3)):
        settings = results.configuration(f"N={n} M={m} K={k}").settings
        assert settings == {"model.N": str(n), "model.M": str(m), "model.K": str(k)}


@pytest.fixture(scope="module")
def done_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    folder = tmp_path_factory.mktemp("lesson")
    return folder, reproduce(folder)


def reproduce(folder: Path) -> Done:
    small = ["data=digits", "trainer.max_epochs=5", "data.val_size=200", "threads=1"]
    return convline(folder, "reproduce", "mnist_dense", *small, "--seeds", "2")


class TestCommand:
    @pytest.mark.slow
    def test_trains_draws_and_says_what_came_out(self, done_once: tuple[Path, Done]) -> None:
        folder, done = done_once
        assert done.status == 0, done.err
        lesson = folder / "runs" / "reproduce" / "mnist_dense"
        for name in ("page.md", "page.html", "results.json", "dense_curve.png"):
            assert (lesson / name).is_file(), name
        results = load_results(lesson / "results.json")
        assert results is not None
        accuracies = results.configuration("dense").metrics["test/acc"]
        stored = [
            json.loads((lesson / "mnist_dense" / f"seed={seed}" / "summary.json").read_text())["metrics"]["test/acc"]
            for seed in (0, 1)
        ]
        assert accuracies == pytest.approx(stored)
        assert results.configuration("dense").sample("train/acc@5").n == 2
        html = (lesson / "page.html").read_text()
        assert html.count("data:image/png;base64,") == 1
        assert "http" not in re.sub(r"<meta[^>]*>", "", html)
        assert "fifth epoch" in done.out

    @pytest.mark.slow
    def test_trains_nothing_twice(self, done_once: tuple[Path, Done]) -> None:
        again = reproduce(done_once[0])
        assert again.status == 0, again.err
        assert "2 jobs: 2 finished already" in again.out

    def test_lists_what_is_kept(self, tmp_path: Path) -> None:
        done = convline(tmp_path, "reproduce", "--list")
        assert done.status == 0, done.err
        assert "No results are stored" not in done.out
        for name in LESSONS:
            assert f"{name}: " in done.out
        one = convline(tmp_path, "reproduce", "--list", "zoo_mnist")
        assert one.status == 0
        assert "zoo_mnist: " in one.out
        assert "zoo_cifar10: " not in one.out

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["lenet5"], "there is no lesson 'lenet5' (did you mean"),
            ([], "which lesson?"),
            (["mnist_dense", "optimizer.lrr=1"], "optimizer.lrr"),
            (["mnist_dense", "optimizer.lr=0.1,0.01"], "optimizer.lr=0.1,0.01 is a list of values"),
            (["mnist_dense", "seed=3"], "Its seeds are --seeds N"),
            (["mnist_dense", "runs_dir=x"], "a lesson sets runs_dir itself"),
            (["convolution_by_hand", "trainer.max_epochs=1"], "trains nothing"),
            (["convolution_by_hand", "--folder", "file"], "convolution_by_hand cannot be made: Not a directory"),
            (["--list", "lenet5"], "there is no lesson 'lenet5' (did you mean"),
        ],
    )
    def test_mistakes_are_explained(self, words: list[str], said: str, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        done = convline(tmp_path, "reproduce", *words)
        assert done.status != 0
        assert said in done.err
        assert "Traceback" not in done.err
