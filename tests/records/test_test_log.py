"""The test evaluation log: one line for each evaluation, in one file, whichever command writes it."""

import csv
import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from convline.errors import UserError
from convline.records import test_log
from convline.records.directory import data_name, read_summary, update_summary
from support.commands import SMALL, convline, run_dirs, train


def made_run(run_dir: Path, runs_dir: str = "runs") -> Path:
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text(f"model: {{}}\nruns_dir: {runs_dir}\n")
    update_summary(run_dir, status="finished", choices={"data": "mnist"}, identity="abc")
    return run_dir


def lines(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# --- where it lies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "runs_dir", "home"),
    [
        ("runs/a", "runs", "runs"),
        ("runs/s_sweep/lr=1,seed=0", "runs", "runs"),
        ("out/deep/s_sweep/a", "out/deep", "out/deep"),
        ("x/s_sweep/a", ".", "."),
        ("runs/runs/s_sweep/a", "runs", "runs"),  # the one that the run was started with
    ],
)
def test_the_ledger_lies_in_runs_dir(
    run: str, runs_dir: str, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert test_log.folder(Path(run), runs_dir) == (tmp_path / home)
    assert test_log.folder(tmp_path / run, runs_dir) == (tmp_path / home)
    assert test_log.folder(tmp_path / run, str(tmp_path / home)) == (tmp_path / home)


def test_it_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = tmp_path / "project" / "runs" / "s_sweep" / "a"
    assert test_log.folder(run, "runs") == tmp_path / "project" / "runs"
    assert test_log.folder(run, "../project/runs") == tmp_path / "project" / "runs"
    monkeypatch.chdir("/")
    assert test_log.folder(run, "../project/runs") == tmp_path / "project" / "runs"


def test_it_is_found_after_the_folder_was_renamed(tmp_path: Path) -> None:
    run = made_run(tmp_path / "archive" / "s_sweep" / "a")
    assert test_log.folder(run, "runs") == tmp_path / "archive" / "s_sweep"
    (tmp_path / "archive" / test_log.NAME).write_text("")
    assert test_log.folder(run, "runs") == tmp_path / "archive"


# --- what is in it --------------------------------------------------------------------------------------------------


def test_looks_are_lines_and_are_counted_by_data_set(tmp_path: Path) -> None:
    run = made_run(tmp_path / "runs" / "s_sweep" / "a,b")
    test_log.record(run, "train", "f1")
    test_log.record(run, "evaluate", "f1")
    first, second = lines(tmp_path / "runs" / test_log.NAME)
    assert (first["how"], second["how"]) == ("train", "evaluate")
    assert first | {"time": "", "how": ""} == {
        "time": "", "how": "", "run": "s_sweep/a,b", "data": "mnist", "fingerprint": "f1", "identity": "abc"
    }  # fmt: skip
    assert first["time"].endswith("Z")
    assert test_log.count(tmp_path / "runs", "mnist") == 2
    assert test_log.count(tmp_path / "runs", "cifar10") == 0
    assert test_log.count(tmp_path, "mnist") == 0


def test_a_data_set_without_a_name_is_called_by_its_source() -> None:
    cfg = {"data": {"source": {"_target_": "convline.data.sources.digits"}}}
    assert data_name({"data": "mnist"}, cfg) == "mnist"
    assert data_name({}, cfg) == "digits"
    assert data_name({}, {"data": None}) == "unknown data"


def write_together(folders: list[Path], name: str, barrier: Barrier) -> None:
    for folder in folders:
        barrier.wait(60)
        test_log.record(folder / "runs" / name, "train", "f" * 20_000)


def test_several_processes_write_whole_lines_and_one_header(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(40)]
    for folder in folders:
        for name in "abcd":
            made_run(folder / "runs" / name)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [context.Process(target=write_together, args=(folders, name, barrier)) for name in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for folder in folders:
        found = lines(folder / "runs" / test_log.NAME)
        assert sorted(line["run"] for line in found) == list("abcd")
        assert {line["fingerprint"] for line in found} == {"f" * 20_000}


def test_a_ledger_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    run = made_run(tmp_path / "runs" / "a")
    (tmp_path / "runs" / test_log.NAME).mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        test_log.record(run, "train", "f")
    with pytest.raises(UserError, match="cannot be read"):
        test_log.count(tmp_path / "runs", "mnist")


# --- who writes it --------------------------------------------------------------------------------------------------


def test_training_sweeping_and_evaluating_are_looks(tmp_path: Path) -> None:
    words = [*SMALL, "trainer.max_epochs=1"]
    assert train(tmp_path, *words, "seed=0").status == 0
    assert train(tmp_path, "-m", *words, "seed=1,2").status == 0
    run = next(path for path in run_dirs(tmp_path) if "sweep" in str(path))
    assert convline(run, "evaluate", str(run)).status == 0  # in another folder than the training
    found = lines(tmp_path / "runs" / test_log.NAME)
    assert [line["how"] for line in found] == ["train"] * 3 + ["evaluate"]
    assert found[3]["run"] == os.path.relpath(run, tmp_path / "runs")
    assert {line["data"] for line in found} == {"synthetic"}
    assert len({line["fingerprint"] for line in found}) == 1
    assert len({line["identity"] for line in found}) == 3
    assert [line["identity"] for line in found[:3]] == [
        read_summary(tmp_path / "runs" / line["run"])["identity"] for line in found[:3]
    ]


def test_a_figure_that_cannot_be_recorded_is_not_shown(tmp_path: Path) -> None:
    assert train(tmp_path, *SMALL, "trainer.max_epochs=1").status == 0
    (run,) = run_dirs(tmp_path)
    (tmp_path / "runs" / test_log.NAME).unlink()
    (tmp_path / "runs" / test_log.NAME).mkdir()
    done = convline(tmp_path, "evaluate", str(run))
    assert done.status == 1
    assert "cannot be written" in done.err
    assert "test/acc" not in done.out
