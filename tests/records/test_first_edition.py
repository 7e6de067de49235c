"""Runs of the first edition, stored as it left them, are read, evaluated, drawn, reported, compared and resumed."""

import csv
import shutil
from pathlib import Path

import pytest
from hydra.utils import get_object

from convline.records.directory import read_config, read_summary
from convline.records.moved_targets import MOVED_TARGETS, with_current_targets
from support.commands import convline, train

STORED = Path(__file__).parent / "first_edition"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder `runs` with the finished and the interrupted run, and their test evaluation log."""
    return Path(shutil.copytree(STORED, tmp_path / "runs", ignore=shutil.ignore_patterns("uninterrupted")))


def curves(path: Path) -> list[dict[str, float]]:
    with open(path, newline="") as file:
        return [{key: float(text) for key, text in row.items() if text} for row in csv.DictReader(file)]


@pytest.mark.parametrize("target", MOVED_TARGETS.values())
def test_moved_targets_are_where_they_are_said_to_be(target: str) -> None:
    assert callable(get_object(target))


def test_every_target_of_a_stored_config_exists(runs: Path) -> None:
    nodes, targets = [read_config(runs / "finished")], []
    while nodes:
        node = nodes.pop()
        targets += [value for key, value in node.items() if key == "_target_"]
        nodes += [value for value in node.values() if hasattr(value, "items")]
    assert len(targets) > 15
    assert all(callable(get_object(target)) for target in targets)


def test_the_batch_of_several_ranks_is_that_of_all_of_them(runs: Path) -> None:
    path = runs / "finished" / "config.yaml"
    assert read_config(runs / "finished").data.batch_size == 128
    path.write_text(path.read_text().replace("devices: 1", "devices: 4"))
    assert read_config(runs / "finished").data.batch_size == 512


def test_only_targets_are_mapped() -> None:
    moved = "convline.classifier.Classifier"
    assert with_current_targets({"name": moved, "list": [{"_target_": moved}]}) == {
        "name": moved,
        "list": [{"_target_": "convline.training.classifier.Classifier"}],
    }


def test_it_is_evaluated_with_the_stored_result(runs: Path) -> None:
    stored = read_summary(runs / "finished")["metrics"]
    done = convline(runs.parent, "evaluate", "runs/finished")
    assert done.status == 0, done.err
    assert f"test/acc {stored['test/acc']:.6f}" in done.out.replace("  ", " ")


def test_it_is_reported_and_compared_and_drawn(runs: Path) -> None:
    other = shutil.copytree(runs / "finished", runs.parent / "others" / "finished")
    for folder in (runs, other):
        done = convline(runs.parent, "report", str(folder))
        assert done.status == 0, done.err
        assert "61.11" in done.out  # validation accuracy
    done = convline(runs.parent, "compare", str(runs / "finished"), str(other))
    assert done.status == 0, done.err
    assert "No verdict on the configurations: there is one seed of A and B" in " ".join(done.out.split())
    done = convline(runs.parent, "figures", str(runs / "finished"), "--only", "confusion", "--only", "filters")
    assert done.status == 0, done.err
    assert (runs / "finished" / "pictures" / "filters.png").is_file()


def test_it_is_resumed_and_ends_like_the_run_that_was_not_interrupted(runs: Path) -> None:
    done = train(runs.parent, "resume=runs/interrupted")
    assert done.status == 0, done.err
    expected, resumed = (curves(path / "metrics.csv") for path in (STORED / "uninterrupted", runs / "interrupted"))
    assert [row["epoch"] for row in resumed] == [1, 2, 3]
    for row, other in zip(resumed, expected, strict=True):
        # not val/*: the average of the weights, which is validated, begins with a smaller decay since (CHANGELOG.md)
        for key in ("train/loss", "train/acc", "lr"):
            # on the machine that trained it the two are equal to the bit; another may round differently
            assert row[key] == pytest.approx(other[key], rel=1e-4, abs=1e-6), (row["epoch"], key)
