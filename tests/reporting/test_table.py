"""The report's table: aggregated over seeds, sorted by validation, data sets apart, and half-written runs."""

import json
import math
from pathlib import Path

import pytest
from scipy import stats

from convline.errors import UserError
from convline.formatting import count_text, duration, setting_text, shortened
from convline.records.directory import create_run_directory
from convline.records.lock import locked
from convline.reporting import run_records as records
from convline.reporting.configurations import short_names, tables, varying_keys
from convline.reporting.metric_text import mean_and_spread, signed_text
from convline.reporting.report import report
from convline.reporting.statistics import Sample
from convline.reporting.table import remarks, status_text, unfinished_reason
from support.reported import changed, labels, made, only

# --- figures --------------------------------------------------------------------------------------------------------


def test_mean_standard_deviation_and_interval_by_hand() -> None:
    sample = Sample((1.0, 2.0, 4.0))  # mean 7/3; squared distances 16/9, 1/9, 25/9
    assert sample.mean == pytest.approx(7 / 3)
    assert sample.sd == pytest.approx(math.sqrt((16 + 1 + 25) / 9 / 2))
    half = 4.302653 * sample.sd / math.sqrt(3)  # Student's t for two degrees of freedom, from a printed table
    assert sample.interval == pytest.approx((7 / 3 - half, 7 / 3 + half), abs=1e-6)
    assert sample.interval == pytest.approx(stats.t.interval(0.95, 2, 7 / 3, stats.sem(sample.values)))


def test_one_seed_has_no_spread() -> None:
    assert math.isnan(Sample((0.5,)).sd)
    assert all(map(math.isnan, Sample((0.98, 0.98, 0.98)).interval)), "equal seeds are no estimate of the spread"
    assert math.isnan(Sample(()).mean)
    assert mean_and_spread("val/acc", Sample((0.98765,))) == "98.77"
    assert mean_and_spread("val/acc", Sample((0.98, 0.99))) == "98.50 ± 0.71 (2)"
    assert mean_and_spread("val/loss", Sample((0.1, 0.2))) == "0.1500 ± 0.0707 (2)"
    assert mean_and_spread("val/acc", Sample(())) == "–"


def test_figures_as_people_write_them() -> None:
    assert [count_text(n) for n in (416_520, 1_800_000, 40_551_424, 1.82e9, math.nan)] == [
        "416,520", "1.8 M", "40.6 M", "1.82 G", "–"
    ]  # fmt: skip
    assert [duration(s) for s in (0.18, 99.94, 100, 3599.6, 7500, math.nan)] == [
        "0.2 s", "99.9 s", "1 min 40 s", "1 h 0 min", "2 h 5 min", "–"
    ]  # fmt: skip
    assert [setting_text(v) for v in (None, True, 0.05, 1e-5, 0.0123456, [1, 28], "a\n  b")] == [
        "null", "true", "0.05", "1e-05", "0.01235", "[1, 28]", "a b"
    ]  # fmt: skip
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert (signed_text("val/acc", 0.0053, unit=True), signed_text("val/loss", -0.01)) == (
        "+0.53 points",
        "-0.0100",
    )


# --- aggregating and sorting --------------------------------------------------------------------------------------


def test_seeds_are_aggregated_and_nothing_else(tmp_path: Path) -> None:
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


def test_versions_of_the_code_are_separate_configurations(tmp_path: Path) -> None:
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
    found = {table.title: table for table in tables(records.find_runs([tmp_path]))}
    assert sorted(found) == ["digits (data 00000000)", "digits (data feedbeef)", "mnist"]
    assert [run.folder.name for run in found["mnist"].unfinished] == ["d"]


# --- columns --------------------------------------------------------------------------------------------------------


def test_columns_are_the_settings_that_the_options_do_not_say() -> None:
    lenet = {"model": "lenet", "model.pattern": "CONV", "optimizer": "sgd", "optimizer.lr": 0.1, "seed": 0}
    dense = lenet | {"model": "dense", "model.pattern": "FC"}
    assert varying_keys([lenet, dense]) == ["model"]
    assert varying_keys([lenet, dense, lenet | {"model.pattern": "CONV -> POOL"}]) == ["model", "model.pattern"]
    assert varying_keys([lenet, lenet | {"optimizer.lr": 0.2}]) == ["optimizer.lr"]
    adam = {**lenet, "optimizer": "adam", "optimizer.lr": 0.001, "optimizer.eps": 1e-8}
    assert varying_keys([lenet, adam]) == ["optimizer"]
    assert varying_keys([lenet, adam, lenet | {"optimizer.lr": 0.2}]) == ["optimizer", "optimizer.lr"]
    frozen = {**dense, "experiment": "x", "optimizer.lr": 7}
    assert varying_keys([{**lenet, "experiment": None}, frozen]) == ["experiment"]
    assert varying_keys([lenet]) == []


def test_a_setting_that_follows_another_is_no_column_of_its_own() -> None:
    both = [{"data.num_classes": n, "model.num_classes": n, "classifier.x": -n} for n in (2, 3)]
    assert varying_keys(both) == ["data.num_classes", "classifier.x"]


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
    table = next(table for table in tables(records.find_runs([tmp_path])) if table.measured_rows)
    assert [row.runs[0].folder.name for row in table.measured_rows] == ["good"]
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
    create_run_directory(tmp_path, "new")
    (run,) = records.find_runs([tmp_path])
    assert (run.status, run.error) == ("incomplete", "config.yaml is missing; summary.json is missing")


def test_a_running_run_says_how_far_it_is_and_a_dead_one_is_interrupted(tmp_path: Path) -> None:
    folder = changed(made(tmp_path / "a", 0.9), status="running", error=None, metrics={})
    assert records.read_run(folder).status == "interrupted"
    with locked(folder):
        run = records.read_run(folder)
    assert run.status == "running"
    assert unfinished_reason(run).startswith("after epoch 8: val/acc 89.98 %, last sign of life ")


def test_an_error_cannot_move_the_cursor(tmp_path: Path) -> None:
    run = records.read_run(changed(made(tmp_path / "a"), status="failed", error="\x1b[2Jboom\r\x07\nsecond line"))
    assert run.error == r"\x1b[2Jboom"


def test_runs_are_found_once_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "runs" / "s_sweep" / "lr=0.1,seed=0")
    made(tmp_path / "runs" / "plain")
    made(tmp_path / "runs" / ".hidden" / "x")
    found = records.find_runs([tmp_path, Path("runs"), tmp_path / "runs" / "plain"])
    assert sorted(run.folder.name for run in found) == ["lr=0.1,seed=0", "plain"]
