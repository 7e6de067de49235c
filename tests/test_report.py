"""`convline report`: seeds folded, sorted by validation, data sets apart, and nothing that a broken run could break."""

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from benchmarks.made_runs import base_config, make_run, make_sweep
from commands import SMALL, convline, shell, train
from convline import ledger, runs
from convline.errors import UserError
from convline.lock import locked
from convline.reporting import records, terminal
from convline.reporting.files import as_markdown
from convline.reporting.fold import Table, tables
from convline.reporting.lines import remarks, status_text, why
from convline.reporting.report import report, report_sweep
from convline.reporting.settings import differing, short_names
from convline.reporting.statistics import Sample
from convline.reporting.text import count, duration, folded, shortened, show, signed

CONFIG = base_config()


def made(folder: Path, accuracy: float = 0.9, choices: dict[str, str] | None = None, **settings: Any) -> Path:
    """A finished run; settings by key with `__` for a dot."""
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return make_run(folder, CONFIG, keys, accuracy, choices)


def changed(folder: Path, **summary: Any) -> Path:
    runs.update_summary(folder, **summary)
    return folder


def only(folder: Path, metric: str | None = None) -> Table:
    (table,) = tables(records.find([folder]), metric)
    return table


def labels(table: Table) -> list[str]:
    return [table.label(row) for row in table.rows]


# --- figures --------------------------------------------------------------------------------------------------------


def test_mean_deviation_and_interval_by_hand() -> None:
    sample = Sample((1.0, 2.0, 4.0))  # mean 7/3; squared distances 16/9, 1/9, 25/9
    assert sample.mean == pytest.approx(7 / 3)
    assert sample.sd == pytest.approx(math.sqrt((16 + 1 + 25) / 9 / 2))
    half = 4.302653 * sample.sd / math.sqrt(3)  # Student's t for two degrees of freedom, from a printed table
    assert sample.interval == pytest.approx((7 / 3 - half, 7 / 3 + half), abs=1e-6)
    assert sample.interval == pytest.approx(stats.t.interval(0.95, 2, 7 / 3, stats.sem(sample.values)))


def test_one_seed_has_no_spread() -> None:
    assert math.isnan(Sample((0.5,)).sd)
    assert math.isnan(Sample(()).mean)
    assert folded("val/acc", Sample((0.98765,))) == "98.77"
    assert folded("val/acc", Sample((0.98, 0.99))) == "98.50 ± 0.71 (2)"
    assert folded("val/loss", Sample((0.1, 0.2))) == "0.1500 ± 0.0707 (2)"
    assert folded("val/acc", Sample(())) == "–"


def test_figures_as_people_write_them() -> None:
    assert [count(n) for n in (416_520, 1_800_000, 40_551_424, 1.82e9, math.nan)] == [
        "416,520", "1.8 M", "40.6 M", "1.82 G", "–"
    ]  # fmt: skip
    assert [duration(s) for s in (0.18, 99.94, 100, 3599.6, 7500, math.nan)] == [
        "0.2 s", "99.9 s", "1 min 40 s", "1 h 0 min", "2 h 5 min", "–"
    ]  # fmt: skip
    assert [show(v) for v in (None, True, 0.05, 1e-5, 0.0123456, [1, 28], "a\n  b")] == [
        "null", "true", "0.05", "1e-05", "0.01235", "[1, 28]", "a b"
    ]  # fmt: skip
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert (signed("val/acc", 0.0053, unit=True), signed("val/loss", -0.01)) == ("+0.53 points", "-0.0100")


# --- folding and sorting --------------------------------------------------------------------------------------------


def test_seeds_are_folded_and_nothing_else(tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.90, 0.92, 0.97)):
        made(tmp_path / f"a{seed}", accuracy, optimizer__lr=0.1, seed=seed)
    made(tmp_path / "b0", 0.95, optimizer__lr=0.01, seed=0)
    table = only(tmp_path)
    assert labels(table) == ["lr=0.01", "lr=0.1"]
    low = table.rows[1]
    assert [run.seed for run in low.runs] == [0, 1, 2]
    assert low.sample("val/acc").mean == pytest.approx(0.93)
    assert low.sample("val/acc").sd == pytest.approx(math.sqrt((9 + 1 + 16) / 2) / 100)
    assert low.sample("test/acc").mean == pytest.approx(0.928)


def test_where_a_run_is_written_does_not_tell_it_apart(tmp_path: Path) -> None:
    made(tmp_path / "a", seed=0)
    made(tmp_path / "b", seed=1, name="other", runs_dir="elsewhere", logger__csv=None, trainer__log_every_n_steps=7)
    assert len(only(tmp_path).rows) == 1


def test_a_seed_that_is_repeated_counts_once_and_the_newest_counts(tmp_path: Path) -> None:
    changed(made(tmp_path / "a", 0.5, seed=0), started="2026-01-01T00:00:00+0000")
    changed(made(tmp_path / "b", 0.7, seed=0), started="2026-01-02T00:00:00+0000")
    made(tmp_path / "c", 0.9, seed=1)
    table = only(tmp_path)
    assert table.rows[0].sample("val/acc").values == (0.7, 0.9)
    assert "Left out: 1 run with the same configuration, code and seed as a newer one." in " ".join(remarks(table))


def test_versions_of_the_code_are_told_apart(tmp_path: Path) -> None:
    made(tmp_path / "a", 0.5)
    other = made(tmp_path / "b", 0.6)
    code = {"version": "0.1.0", "commit": "1234567890", "changes": "abcdef"}
    (other / "environment.json").write_text(json.dumps({"code": code, "data_fingerprint": "00000000deadbeef"}))
    assert labels(only(tmp_path)) == ["code=1234567+abcd", "code=0000000"]


def test_a_run_that_failed_early_is_counted_with_its_configuration(tmp_path: Path) -> None:
    made(tmp_path / "a", seed=0, optimizer__lr=0.1)
    failed = changed(made(tmp_path / "b", seed=1, optimizer__lr=0.1), status="failed", metrics={}, error="no memory\nx")
    (failed / "environment.json").unlink()  # it is written after the data are read
    table = only(tmp_path)
    assert len(table.rows) == 1
    assert table.columns == {}
    assert status_text(table.rows[0]) == "1 of 2"
    assert table.rows[0].statuses() == {"finished": 1, "failed": 1}
    assert [(run.status, run.error) for run in table.unfinished] == [("failed", "no memory")]


@pytest.mark.parametrize(("monitor", "best"), [("val/acc", "a"), ("val/loss", "b"), ("train/loss", "a")])
def test_the_metric_that_chose_the_checkpoints_sorts(monitor: str, best: str, tmp_path: Path) -> None:
    for name, metrics in {
        "a": {"val/acc": 0.9, "val/loss": 0.5, "test/acc": 0.1, "test/loss": 1.0},
        "b": {"val/acc": 0.8, "val/loss": 0.4, "test/acc": 0.9, "test/loss": 0.1},
    }.items():
        run = made(tmp_path / name, optimizer__lr=ord(name), callbacks__checkpoint__monitor=monitor)
        changed(run, metrics=metrics)
    table = only(tmp_path)
    assert table.metric == (monitor if monitor.startswith("val/") else "val/acc")
    assert table.rows[0].runs[0].folder.name == best
    assert table.test_metric == table.metric.replace("val", "test")
    assert only(tmp_path, "val/loss").rows[0].runs[0].folder.name == "b"


def test_configurations_without_a_figure_come_last(tmp_path: Path) -> None:
    changed(made(tmp_path / "a", optimizer__lr=9.0), status="failed", metrics={}, error="NaN")
    made(tmp_path / "b", 0.2, optimizer__lr=0.1)
    assert labels(only(tmp_path)) == ["lr=0.1", "lr=9"]


def test_the_test_set_may_not_sort(tmp_path: Path) -> None:
    made(tmp_path / "a")
    with pytest.raises(UserError, match="would choose by the test set"):
        only(tmp_path, "test/acc")
    with pytest.raises(UserError, match=r"no run has it \(did you mean 'val/acc'\?\)"):
        only(tmp_path, "val/acu")


def test_data_sets_are_never_ranked_together(tmp_path: Path) -> None:
    made(tmp_path / "a", choices={"data": "mnist"})
    made(tmp_path / "b", choices={"data": "digits"})
    other = made(tmp_path / "c", choices={"data": "digits"}, data__split_seed=1)
    content = json.loads((other / "environment.json").read_text()) | {"data_fingerprint": "feedbeef00000000"}
    (other / "environment.json").write_text(json.dumps(content))
    early = changed(made(tmp_path / "d", choices={"data": "mnist"}), status="failed", metrics={})
    (early / "environment.json").unlink()
    found = {table.title: table for table in tables(records.find([tmp_path]))}
    assert sorted(found) == ["digits (data 00000000)", "digits (data feedbeef)", "mnist"]
    assert [run.folder.name for run in found["mnist"].unfinished] == ["d"]


# --- columns --------------------------------------------------------------------------------------------------------


def test_columns_are_the_settings_that_the_options_do_not_say() -> None:
    lenet = {"model": "lenet", "model.pattern": "CONV", "optimizer": "sgd", "optimizer.lr": 0.1, "seed": 0}
    dense = lenet | {"model": "dense", "model.pattern": "FC"}
    assert differing([lenet, dense]) == ["model"]
    assert differing([lenet, dense, lenet | {"model.pattern": "CONV -> POOL"}]) == ["model", "model.pattern"]
    assert differing([lenet, lenet | {"optimizer.lr": 0.2}]) == ["optimizer.lr"]
    adam = {**lenet, "optimizer": "adam", "optimizer.lr": 0.001, "optimizer.eps": 1e-8}
    assert differing([lenet, adam]) == ["optimizer"]
    assert differing([lenet, adam, lenet | {"optimizer.lr": 0.2}]) == ["optimizer", "optimizer.lr"]
    frozen = {**dense, "experiment": "x", "optimizer.lr": 7}
    assert differing([{**lenet, "experiment": None}, frozen]) == ["experiment"]
    assert differing([lenet]) == []


def test_a_setting_that_follows_another_is_no_column_of_its_own() -> None:
    both = [{"data.num_classes": n, "model.num_classes": n, "classifier.x": -n} for n in (2, 3)]
    assert differing(both) == ["data.num_classes", "classifier.x"]


def test_names_are_as_short_as_they_can_be() -> None:
    keys = ["model", "optimizer.lr", "a.b.size", "c.b.size", "d.size"]
    assert list(short_names(keys).values()) == ["model", "lr", "a.b.size", "c.b.size", "d.size"]
    assert short_names(["model", "x.model"]) == {"model": "model", "x.model": "x.model"}


# --- half-written runs ----------------------------------------------------------------------------------------------

DAMAGE = {
    "no summary": ("summary.json", None),
    "empty summary": ("summary.json", b""),
    "half a summary": ("summary.json", b'{"status": "finished", "metr'),
    "a list": ("summary.json", b"[1, 2]"),
    "no status": ("summary.json", b"{}"),
    "no metrics": ("summary.json", b'{"status": "finished"}'),
    "metrics of the wrong kind": ("summary.json", b'{"status": "finished", "metrics": [1], "choices": 3}'),
    "figures of the wrong kind": (
        "summary.json",
        b'{"status": "finished", "metrics": {"val/acc": "high"}, "seconds": "x", "parameters": null}',
    ),
    "not a number": ("summary.json", b'{"status": "finished", "metrics": {"val/acc": NaN, "val/loss": Infinity}}'),
    "bytes": ("summary.json", bytes(range(256))),
    "no config": ("config.yaml", None),
    "half a config": ("config.yaml", b"model: {pattern: [CON"),
    "config of objects": ("config.yaml", b"!!python/object/apply:os.system ['touch hacked']"),
    "config is text": ("config.yaml", b"hello"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_listed_with_what_is_known(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "runs" / "good", 0.9, optimizer__lr=0.1)
    broken = made(tmp_path / "runs" / "broken", 0.99, optimizer__lr=0.2)
    name, content = DAMAGE[damage]
    (broken / name).unlink()
    if content is not None:
        (broken / name).write_bytes(content)
    report([tmp_path / "runs"])
    table = next(table for table in tables(records.find([tmp_path])) if table.measured)
    assert [row.runs[0].folder.name for row in table.measured] == ["good"]
    printed = capsys.readouterr().out
    assert "incomplete" in printed
    assert name in printed
    assert "broken" in (tmp_path / "runs" / "report.html").read_text()
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("content", [None, b"", b"epoch,st", bytes(range(256)), b"epoch\n1\nx\n", b"a,b\n1,2\n"])
def test_curves_that_cannot_be_read_are_left_out(content: bytes | None, tmp_path: Path) -> None:
    run = made(tmp_path / "runs" / "a")
    (run / "metrics.csv").unlink()
    if content is not None:
        (run / "metrics.csv").write_bytes(content)
    report([tmp_path / "runs"])
    assert 'data-kind="curves"' not in (tmp_path / "runs" / "report.html").read_text()


def test_a_directory_that_was_only_just_made_is_listed(tmp_path: Path) -> None:
    runs.create(tmp_path, "new")
    (run,) = records.find([tmp_path])
    assert (run.status, run.error) == ("incomplete", "config.yaml is missing; summary.json is missing")


def test_a_running_run_says_how_far_it_is_and_a_dead_one_is_interrupted(tmp_path: Path) -> None:
    folder = changed(made(tmp_path / "a", 0.9), status="running", error=None, metrics={})
    assert records.read(folder).status == "interrupted"
    with locked(folder):
        run = records.read(folder)
    assert run.status == "running"
    assert why(run).startswith("after epoch 8: val/acc 89.98 %, last sign of life ")


def test_an_error_cannot_move_the_cursor(tmp_path: Path) -> None:
    run = records.read(changed(made(tmp_path / "a"), status="failed", error="\x1b[2Jboom\r\x07\nsecond line"))
    assert run.error == " [2Jboom"


def test_runs_are_found_once_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "runs" / "s_sweep" / "lr=0.1,seed=0")
    made(tmp_path / "runs" / "plain")
    made(tmp_path / "runs" / ".hidden" / "x")
    found = records.find([tmp_path, Path("runs"), tmp_path / "runs" / "plain"])
    assert sorted(run.folder.name for run in found) == ["lr=0.1,seed=0", "plain"]


# --- what is written ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of six configurations with two seeds each, one run of which failed, with its ledger."""
    runs_dir = tmp_path_factory.mktemp("project") / "runs"
    folder = runs_dir / "2026-01-01_00-00-00_sweep"
    for lr in (0.01, 0.1, 1.0):
        for model in ("lenet", "dense"):
            for seed in (0, 1):
                accuracy = 0.9 - 0.1 * abs(math.log10(lr) + 1) + 0.01 * seed - 0.02 * (model == "dense")
                choices, pattern = {"model": model}, {"model__pattern": model}
                made(
                    folder / f"model={model},lr={lr},seed={seed}",
                    accuracy,
                    choices,
                    optimizer__lr=lr,
                    seed=seed,
                    **pattern,
                )
    changed(folder / "model=dense,lr=1.0,seed=1", status="failed", metrics={}, error="the loss is <NaN> | in batch 3")
    for run in records.find([folder]):
        if run.is_finished:
            ledger.record(run.folder, "train", "f")
    return folder


def test_the_command_prints_the_table_and_writes_three_files(sweep: Path) -> None:
    done = convline(sweep.parents[1], "report", str(sweep))
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].strip() == "digits, by val/acc"
    words = [" ".join(line.split()) for line in lines]
    assert words[2] == "# model lr val/acc % test/acc % runs time parameters MACs"
    assert words[4] == "1 lenet 0.1 90.50 ± 0.71 (2) 90.30 ± 0.71 (2) 2 20.0 s 61,706 416,520"
    assert any(line.startswith("6 dense 1 78.00 77.80 1 of 2") for line in words)
    assert "1 run not finished:" in done.out
    assert "the loss is <NaN> | in batch 3" in done.out
    assert "The test set of digits was looked at 11 times." in done.out
    assert sorted(path.name for path in sweep.glob("report.*")) == ["report.csv", "report.html", "report.md"]


def test_csv_holds_full_figures(sweep: Path, tmp_path: Path) -> None:
    report([sweep], csv_file=tmp_path / "out.csv")
    read = pd.read_csv(tmp_path / "out.csv")
    assert list(read["rank"]) == [1, 2, 3, 4, 5, 6]
    first, last = read.iloc[0], read.iloc[5]
    assert (first["model"], first["optimizer.lr"], first["seeds"], first["val/acc n"]) == ("lenet", 0.1, "0 1", 2)
    assert first["val/acc"] == pytest.approx(0.905)
    assert first["val/acc sd"] == pytest.approx(0.01 / math.sqrt(2))
    low, high = stats.t.interval(0.95, 1, 0.905, 0.005)
    assert (first["val/acc low"], first["val/acc high"]) == pytest.approx((low, high))
    assert last["statuses"] == "finished:1 failed:1"
    assert math.isnan(last["val/acc sd"])


def test_markdown_is_a_table_whatever_is_in_it(sweep: Path, tmp_path: Path) -> None:
    report([sweep], markdown_file=tmp_path / "out.md")
    lines = (tmp_path / "out.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 6
    assert {line.replace("\\|", "").count("|") for line in table} == {9 + 1}
    assert "| 1 | lenet | 0.1 | 90.50 ± 0.71 (2) | 90.30 ± 0.71 (2) | 2 | 20.0 s | 61,706 | 416,520 |" in table
    (failed,) = (line for line in lines if line.startswith("- failed"))
    assert "the loss is \\<NaN\\> \\| in batch 3" in failed


def test_only_the_files_that_are_asked_for_are_written(sweep: Path, tmp_path: Path) -> None:
    for path in sweep.glob("report.*"):
        path.unlink()
    report([sweep], html_file=tmp_path / "page.html")
    report([sweep / "model=lenet,lr=0.1,seed=0", sweep / "model=lenet,lr=0.1,seed=1"])
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert not list(sweep.rglob("report.*"))
    report_sweep(sweep)
    assert len(list(sweep.glob("report.*"))) == 3


def test_one_configuration_is_given_with_its_interval(tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.9, 0.92)):
        made(tmp_path / f"a{seed}", accuracy, seed=seed)
    low, high = stats.t.interval(0.95, 1, 91, 1)
    assert high > 100, "which no accuracy is"
    said = f"val/acc is 91.00 %; the mean over many seeds lies, with 95 % confidence, between {low:.2f} and 100.00 %."
    assert said in remarks(only(tmp_path))


def test_many_settings_are_told_by_what_is_unusual(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "optimizer__momentum": 0.5,
        "optimizer__weight_decay": 0.0,
        "data__batch_size": 64,
        "scheduler__warmup": 0.0,
    }
    values |= {"trainer__max_epochs": 9, "classifier__label_smoothing": 0.1, "steps_per_execution": 2}
    monkeypatch.setattr(terminal, "console", lambda: Console(width=80))
    made(tmp_path / "usual")
    for number, (key, value) in enumerate(values.items()):
        made(tmp_path / f"{number}", 0.8 - number / 100, **{key: value})
    report([tmp_path])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:2] == ["#", "settings"]
    assert lines[4].split()[1:3] == ["as", "usual"]
    assert lines[5].split()[1] == "momentum=0.5"


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (100, "# model lr val/acc % test/acc % runs time parameters MACs"),
        (80, "# model lr val/acc % test/acc % runs time"),
        (60, "# model lr val/acc % test/acc %"),
    ],
)
def test_a_narrow_terminal_shows_settings_before_costs(width: int, heads: str, sweep: Path) -> None:
    console = Console(width=width)
    with console.capture() as shown:
        console.print(terminal._grid(only(sweep), width))
    lines = shown.get().splitlines()
    assert " ".join(lines[2].split()) == heads
    assert lines[4].split()[:3] == ["1", "lenet", "0.1"]
    assert max(map(len, lines)) <= width
    assert "90.50 ± 0.71 (2)   90.30 ± 0.71 (2)" in lines[4]


def test_no_run_is_one_screen(tmp_path: Path) -> None:
    nothing = convline(tmp_path, "report")
    assert (nothing.status, nothing.out) == (1, "")
    assert (
        nothing.err == "error: runs is not there; type a folder of runs, a sweep's or a run's: convline report runs\n"
    )
    (tmp_path / "runs").mkdir()
    empty = convline(tmp_path, "report")
    assert empty.status == 1
    assert empty.err.startswith("error: there is no run in runs.\n")
    assert not list((tmp_path / "runs").iterdir())


def test_a_file_that_cannot_be_written_is_one_screen(sweep: Path, tmp_path: Path) -> None:
    done = convline(tmp_path, "report", str(sweep), "--csv", str(tmp_path / "missing" / "x.csv"))
    assert done.status == 1
    assert "cannot be written" in done.err
    assert "Traceback" not in done.err


def test_reading_runs_needs_no_torch() -> None:
    code = "import sys, convline.cli, convline.reporting.report, convline.reporting.page, convline.reporting.compare\n"
    code += "slow = {'torch', 'lightning', 'matplotlib', 'pandas', 'scipy', 'numpy'} & set(sys.modules)\n"
    done = shell(sys.executable, "-c", f"{code}assert not slow, slow")
    assert done.status == 0, done.err


def test_a_sweep_as_it_is_made_is_reported(tmp_path: Path) -> None:
    words = [*SMALL, "trainer.max_epochs=1", "seed=0,1", "optimizer.lr=0.05,1e30"]
    assert train(tmp_path, "-m", *words).status == 1  # the large rate gives NaN
    done = convline(tmp_path, "report")
    assert done.status == 0, done.err
    assert "2 runs not finished:" in done.out
    with open(tmp_path / "runs" / "report.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["optimizer.lr"], first["seeds"], first["val/acc n"]) == ("0.05", "0 1", "2")
    assert (second["optimizer.lr"], second["statuses"]) == ("1e+30", "failed:2")
    assert "The test set of synthetic was looked at 2 times." in done.out


def test_the_benchmarks_runs_are_reported(tmp_path: Path) -> None:
    make_sweep(tmp_path / "sweep", num_runs=12, num_seeds=3)
    table = only(tmp_path)
    assert set(table.columns.values()) == {"model", "weight_decay"}
    assert [row.sample("val/acc").n for row in table.rows] == [3, 3, 3, 3]
    assert as_markdown([table]).count("\n| ") >= 4
