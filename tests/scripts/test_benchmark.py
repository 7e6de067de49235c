"""The benchmark script at sizes where its times mean nothing, and none is looked at."""

import contextlib
import io
import json
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from rich.progress import Progress
from typer.testing import CliRunner

import benchmark
from benchmarks import dashboards, data_path, fit, measure, mnist, report_time, startup, tables
from benchmarks.measure import Comparison, Sample
from convline.config import load_config
from convline.reporting.report import report

TINY = [
    "data=synthetic",
    "data.input_shape=[1,28,28]",
    "data.source.num_train=300",
    "data.source.num_test=20",
    "data.batch_size=32",
    "data.eval_batch_size=16",
]


def samples(*seconds: float) -> list[Sample]:
    """Processor times as given; the clock on the wall runs ten times as long."""
    return [Sample(s, 10 * s) for s in seconds]


def comparison(kind: str = "at most", clock: str = "cpu", target: float = 1.5) -> Comparison:
    return Comparison("a", "b", "c", clock, target, kind, samples(3, 2, 9), samples(2, 4, 3), {"threads": 1})


def test_ratios_by_hand() -> None:
    ratio = comparison()
    assert ratio.of_medians == 3 / 3
    assert ratio.of_minima == 2 / 2
    assert ratio.pairwise == [1.5, 0.5, 3.0]
    assert ratio.is_met
    assert not comparison(target=0.9).is_met


def test_how_many_times_as_fast_is_the_other_way_round() -> None:
    ratio = Comparison("a", "b", "c", "wall", 4, "at least", samples(2, 1, 4), samples(8, 10, 6), {})
    assert ratio.of_medians == 8 / 2
    assert ratio.of_minima == 6 / 1
    assert ratio.pairwise == [4.0, 10.0, 1.5]
    assert ratio.is_met


def test_the_clock_that_is_named_is_compared() -> None:
    mixed = Comparison("a", "b", "c", "wall", 1, "at most", [Sample(1, 6)], [Sample(1, 2)], {})
    assert mixed.of_medians == 3.0


def test_rounds_alternate_after_one_that_does_not_count() -> None:
    calls: list[str] = []

    def note(name: str) -> Sample:
        calls.append(name)
        return Sample(len(calls), 0)

    ours, other = measure.interleaved(lambda: note("A"), lambda: note("B"), 2)
    assert "".join(calls) == "ABABAB"
    assert [s.cpu for s in ours] == [3, 5]
    assert [s.cpu for s in other] == [4, 6]


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One of our fits, with what it began from, where it wrote, and how often its progress bar was drawn."""
    words = ["model=dense", *TINY, "trainer=cpu", "trainer.max_epochs=2"]
    folder = tmp_path_factory.mktemp("runs")
    with patch.object(Progress, "refresh", autospec=True) as refresh:
        start, outcome = fit.our_fit(load_config(words), folder)
    return SimpleNamespace(words=words, start=start, outcome=outcome, folder=folder, drawn=refresh.call_count)


@pytest.mark.slow
def test_both_fits_of_the_dense_net_do_the_same_training(dense: SimpleNamespace) -> None:
    checked = fit.agreement(dense.outcome, fit.bare_fit(load_config(dense.words), dense.start))
    assert checked["largest_weight_difference"] < 1e-5
    assert len(dense.start.train[1]) == 270
    before = dense.start.network.state_dict()
    assert all(not torch.equal(before[key], dense.outcome.weights[key]) for key in before), "nothing was trained"


@pytest.mark.slow
def test_both_fits_of_lenet_do_the_same_training() -> None:
    measured = fit.compare_fit("lenet", 1.05, num_rounds=1, num_epochs=1, num_threads=1, data=("noise", TINY))
    assert measured.notes["largest_weight_difference"] < 1e-5
    assert len(measured.our_samples) == len(measured.other_samples) == 1


def test_fits_that_differ_are_refused(dense: SimpleNamespace) -> None:
    other = fit.bare_fit(load_config([*dense.words, "optimizer.lr=0.04"]), dense.start)
    with pytest.raises(AssertionError, match="different weights"):
        fit.agreement(dense.outcome, other)


def test_our_fit_is_measured_with_everything_on(dense: SimpleNamespace) -> None:
    (run_dir,) = (path for path in dense.folder.iterdir() if path.is_dir())
    assert (run_dir / "checkpoints" / "best.ckpt").is_file()
    assert (run_dir / "metrics.csv").is_file()
    assert list(run_dir.glob("events.out.*"))
    assert dense.drawn > 0, "no progress bar"


@pytest.mark.slow
def test_data_path_on_made_up_images() -> None:
    measured = data_path.compare_data(target=20, num_rounds=1, num_images=300)
    assert measured.clock == "wall"
    assert measured.notes["images"] == 300
    assert set(measured.notes["seconds_by_workers"]) == set(data_path.NUM_WORKERS)
    assert measured.notes["largest_pixel_difference"] < 1e-5


def test_data_without_the_real_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVLINE_DATA", str(tmp_path))
    assert mnist.folder() is None
    said, words = mnist.settings()
    assert "synthetic" in said
    cfg = load_config(words)
    assert (list(cfg.data.input_shape), cfg.data.source.num_train, cfg.data.batch_size) == ([1, 28, 28], 60_000, 128)


@pytest.mark.slow
def test_the_dashboards_that_are_measured_are_all_of_them_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, object]] = []

    def here(command: list[str], **_: object) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["-c", *command[3:]])
        cfg = load_config(command[3:])
        shown.append({name: node for name, node in cfg.callbacks.items() if node is not None})
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(command[2], "", "exec"), {})
        return SimpleNamespace(returncode=0, stdout=out.getvalue())

    monkeypatch.setattr(dashboards.subprocess, "run", here)
    measured = dashboards.compare_dashboards(1.05, 1, data=("noise", [*TINY, "trainer.max_epochs=1"]))
    assert {"pictures", "histograms", "norms", "projector", "hparams"} < set(shown[0])
    assert set(shown[1]) == {"checkpoint", "progress"}
    assert measured.our_samples[0].cpu > 0
    assert 50_000 < measured.notes["event_bytes"] < 20_000_000


def test_the_report_that_is_measured_reads_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(command: list[str]) -> Sample:
        with patch.object(sys, "argv", command[2:]):  # "-c" takes the place of the program's name
            exec(compile(command[2], "", "exec"), {}) if "report" in command[2] else None
        return Sample(1, 10)

    monkeypatch.setattr(report_time, "child", here)
    monkeypatch.setattr("convline.cli.main", lambda: report([Path(sys.argv[2])]))
    measured = report_time.compare_report(target=5, num_rounds=1, num_runs=7)
    assert measured.notes["page_bytes"] > 10_000
    assert "1.0 s of processor time, 10.0 s by the clock" in measured.notes["remark"]


@pytest.mark.slow
def test_train_ends_after_its_first_step_and_a_failure_is_told(tmp_path: Path) -> None:
    assert startup.child(startup.train_command(str(tmp_path))).cpu > 0
    (run_dir,) = tmp_path.iterdir()
    assert json.loads((run_dir / "summary.json").read_text())["status"] == "running"  # it never came further
    with pytest.raises(RuntimeError, match="status 3"):
        startup.child([sys.executable, "-c", "raise SystemExit(3)"])


def test_script_writes_json_and_markdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "measure", lambda which, *numbers: comparison())
    app = benchmark.typer.Typer()
    app.command()(benchmark.main)
    files = [str(tmp_path / "out.json"), str(tmp_path / "out.md")]
    result = CliRunner().invoke(
        app, ["fit-dense", "--threads", "1", "--threads", "2", "--json", files[0], "--markdown", files[1]]
    )
    assert result.exit_code == 0, result.output
    written = json.loads(Path(files[0]).read_text())
    assert written["machine"]["hardware"]["cpu"] is not None
    assert written["machine"]["packages"]["torch"] == version("torch")
    assert len(written["comparisons"]) == 2, "one for each number of threads"
    first = written["comparisons"][0]
    assert first["ratio"] == {"of_medians": 1.0, "of_minima": 1.0, "lowest": 0.5, "highest": 3.0}
    assert first["target"] == {"kind": "at most", "value": 1.5, "met": True}
    assert first["seconds"]["ours"][0] == {"cpu": 3, "wall": 30}
    head, rule, row, *_ = Path(files[1]).read_text().splitlines()
    assert head.split(" | ")[1] == tables.HEAD[1]
    assert rule.count("---") == len(tables.HEAD)
    assert row == "| a | cpu | 1 | 1 | 0.5 – 3 | at most 1.5 | yes |"
