"""`convline report`: what it prints and writes."""

import csv
import json
import math
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from convline.records import test_log
from convline.reporting import run_records as records
from convline.reporting import terminal
from convline.reporting.configurations import tables
from convline.reporting.export import as_markdown
from convline.reporting.report import report, report_sweep
from convline.reporting.table import remarks
from support.commands import SMALL, convline, shell, train
from support.made_runs import base_config, make_run, make_sweep
from support.reported import changed, made, only


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
    for run in records.find_runs([folder]):
        if run.is_finished:
            test_log.record(run.folder, "train", "f")
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
    assert "The test set of digits was evaluated 11 times." in done.out
    assert sorted(path.name for path in sweep.glob("report.*")) == ["report.csv", "report.html", "report.md"]


def test_the_path_of_a_run_can_be_copied_from_a_narrow_terminal(sweep: Path) -> None:
    done = shell(sys.executable, "-m", "convline", "report", str(sweep), cwd=sweep.parents[1], COLUMNS="60")
    assert done.status == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("failed  ")]
    assert (sweep.parents[1] / line.removeprefix("failed  ")).is_dir()


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


def test_equal_seeds_have_no_interval(tmp_path: Path) -> None:
    for seed in range(3):
        made(tmp_path / f"a{seed}", 0.9, seed=seed)
    text = " ".join(remarks(only(tmp_path)))
    assert "val/acc is 90.00 % with every seed, so that nothing tells how far the mean over many seeds is" in text
    assert "with 95 % confidence, between" not in text


def test_an_interval_near_100_per_cent_is_said_to_hold_less_often(tmp_path: Path) -> None:
    for folder, accuracies in (("near", (0.99, 0.995, 0.999)), ("far", (0.97, 0.975, 0.979))):
        for seed, accuracy in enumerate(accuracies):
            made(tmp_path / folder / f"a{seed}", accuracy, seed=seed)
    assert "holds in about 9 of 10 cases only" in " ".join(remarks(only(tmp_path / "near")))
    assert "holds in about" not in " ".join(remarks(only(tmp_path / "far")))


def test_many_settings_are_told_by_what_is_unusual(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "optimizer__momentum": 0.5,
        "optimizer__weight_decay": 0.0,
        "data__batch_size": 64,
        "scheduler__warmup": 0.0,
    }
    values |= {"trainer__max_epochs": 9, "classifier__label_smoothing": 0.1, "classifier__accumulate_grad_batches": 2}
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
    assert "The test set of synthetic was evaluated 2 times." in done.out


def test_the_benchmarks_runs_are_reported(tmp_path: Path) -> None:
    make_sweep(tmp_path / "sweep", num_runs=12, num_seeds=3)
    table = only(tmp_path)
    assert set(table.columns.values()) == {"model", "weight_decay"}
    assert [row.sample("val/acc").n for row in table.rows] == [3, 3, 3, 3]
    assert as_markdown([table]).count("\n| ") >= 4


def test_two_folders_of_one_study_count_each_trial_once(tmp_path: Path) -> None:
    config = base_config()
    for name, trial in (("one", "000,lr=0.1"), ("two", "001,lr=0.2")):
        make_run(tmp_path / name / trial, config, {"optimizer.lr": float(trial[-3:])}, 1 - float(trial[-3:]))
        (tmp_path / name / "sweep.json").write_text('{"search": "the same"}')
    for name, other, trial in (("one", "two", "001,lr=0.2"), ("two", "one", "000,lr=0.1")):
        settings = {**config, "optimizer": {**config["optimizer"], "lr": float(trial[-3:])}}
        summary = json.loads((tmp_path / other / trial / "summary.json").read_text())
        record = {"directory": f"/far/{trial}", "host": "far", "config": settings, "summary": summary}
        environment = json.loads((tmp_path / other / trial / "environment.json").read_text())
        content = {"trials": [{**record, "environment": environment}, "damaged"]}
        (tmp_path / name / "other_folders.json").write_text(json.dumps(content))
    runs = records.find_runs([tmp_path / "one"])
    assert [(str(run.folder), run.host, run.is_finished) for run in runs] == [
        (str(tmp_path / "one" / "000,lr=0.1"), "", True),
        ("far:/far/001,lr=0.2", "far", True),
    ]
    assert [run.host for run in records.find_runs([tmp_path])] == ["", ""]
    (table,) = tables(runs)
    assert [row.value("optimizer.lr") for row in table.rows] == [0.1, 0.2]
    assert "Trained in other folders, and shown from the study: 1 run, 1 on far." in remarks(table)


def test_output_that_is_piped_is_as_wide_as_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal.console().width == 160
    monkeypatch.setenv("COLUMNS", "80")
    assert terminal.console().width == 80
