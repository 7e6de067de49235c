"""What waiting reads does not grow with the number of jobs: counts, no times."""

import itertools
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from convline.config import compose as config_compose
from convline.records.directory import update_summary
from convline.reporting.configurations import configurations
from convline.reporting.run_records import RunRecord
from convline.sweeps import executors, hydra_launcher
from convline.sweeps.jobs import compose, plan
from convline.training import setup
from support.sweeping import NoExecutor


@pytest.mark.parametrize("num_jobs", [100, 5_000])
def test_a_round_of_waiting_reads_some_of_the_open_jobs_in_turn(num_jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = [Path(str(index)) for index in range(num_jobs)]
    reads, rounds = Counter[Path](), list[int]()

    def status(run_dir: Path) -> str:
        reads[run_dir] += 1
        return "running" if reads[run_dir] < 4 else "finished"

    monkeypatch.setattr(executors, "read_status", status)
    monkeypatch.setattr(executors.time, "sleep", lambda seconds: rounds.append(reads.total()))
    executors.run_until_done(directories, NoExecutor(), fail_fast=False)
    assert set(reads.values()) == {4}
    per_round = {after - before for before, after in itertools.pairwise(rounds)}
    assert max(per_round) <= 200


@pytest.mark.parametrize("num_jobs", [50, 500])
def test_the_search_for_failures_reads_each_ended_job_once(
    num_jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(num_jobs):
        (tmp_path / str(index)).mkdir()
        update_summary(tmp_path / str(index), status="waiting", swept=[f"seed={index}"], error="no luck")
    reads = Counter[str]()

    def status(run_dir: Path) -> str:
        reads[run_dir.name] += 1
        ended = "failed" if run_dir.name == "7" else "finished"
        return "waiting" if reads[run_dir.name] == 1 else ended

    monkeypatch.setattr(hydra_launcher, "read_status", status)
    monkeypatch.setattr(hydra_launcher, "POLL_SECONDS", 0.01)
    with hydra_launcher._print_failures(tmp_path):
        pass
    assert set(reads.values()) == {2}
    assert capsys.readouterr().err.count("── failed: seed=7") == 1


def test_seeds_of_one_configuration_are_looked_up_not_searched() -> None:
    comparisons = Counter[str]()

    class Seed(int):
        def __eq__(self, other: object) -> bool:
            comparisons["=="] += 1
            return int(self) == other

        __hash__ = int.__hash__

    runs = [
        RunRecord(Path(str(seed)), "finished", settings={"seed": Seed(seed), "model.pattern": "FC"}, started=str(seed))
        for seed in [*range(300), 5]
    ]
    (row,) = configurations(runs)
    assert (len(row.runs), len(row.repeats)) == (300, 1)
    assert comparisons["=="] < 10 * len(runs)


@pytest.mark.parametrize("num_seeds", [3, 12])
def test_planning_composes_once_an_option_and_reads_the_data_once(
    num_seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Counter[str]()

    def counted(module: ModuleType, name: str) -> None:
        function = getattr(module, name)

        def count(*arguments: object) -> object:
            calls[name] += 1
            return function(*arguments)

        monkeypatch.setattr(module, name, count)

    counted(config_compose, "_compose_with_hydra_node")
    counted(setup, "load_data")
    config_compose._compose_config.cache_clear()
    data = ["data=synthetic", "data.source.num_train=200", "data.source.num_test=20", "data.batch_size=4"]
    jobs = plan(compose([*data, "model=lenet,dense", f"seed=range({num_seeds})", "optimizer.lr=0.1,0.01"]))
    assert len(jobs) == 4 * num_seeds
    assert calls == {"_compose_with_hydra_node": 2, "load_data": 1}
