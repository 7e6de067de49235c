"""metrics.csv: one line an epoch, whole at every moment, and kept across a resume."""

import csv
from pathlib import Path
from typing import Any

import pytest

from convline.training.csv_logger import MetricsCsv


def read(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def logged(folder: Path, *rows: tuple[int, dict[str, float]]) -> MetricsCsv:
    logger = MetricsCsv(str(folder))
    for step, metrics in rows:
        logger.log_metrics(metrics, step)
    return logger


def test_metrics_of_one_step_merge_into_one_line(tmp_path: Path) -> None:
    rows = [
        (10, {"epoch": 1, "val/acc": 0.5}),
        (10, {"epoch": 1, "train/loss": 2.0}),
        (20, {"epoch": 2, "val/acc": 0.6}),
    ]
    logged(tmp_path, *rows).save()
    assert read(tmp_path) == [
        {"epoch": "1", "step": "10", "val/acc": "0.5", "train/loss": "2.0"},
        {"epoch": "2", "step": "20", "val/acc": "0.6", "train/loss": ""},
    ]


def test_the_first_columns_are_epoch_and_step(tmp_path: Path) -> None:
    logged(tmp_path, (1, {"lr": 0.1, "epoch": 1})).save()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == ["epoch,step,lr", "1,1,0.1"]


def test_points_within_an_epoch_are_left_to_other_loggers(tmp_path: Path) -> None:
    logged(tmp_path, (5, {"train/loss_step": 1.0}), (10, {"epoch": 1, "val/acc": 0.5})).save()
    assert [row["step"] for row in read(tmp_path)] == ["10"]


def test_a_resumed_run_keeps_its_past_and_does_its_last_epoch_over(tmp_path: Path) -> None:
    logged(tmp_path, (10, {"epoch": 1, "val/acc": 0.5}), (20, {"epoch": 2, "val/acc": 0.6})).save()
    again = logged(tmp_path, (20, {"epoch": 2, "val/acc": 0.7, "new": 1.0}), (30, {"epoch": 3, "val/acc": 0.8}))
    assert len(read(tmp_path)) == 2  # opening the file does not touch it
    again.finalize("success")
    assert [(row["epoch"], row["step"], row["val/acc"], row["new"]) for row in read(tmp_path)] == [
        ("1", "10", "0.5", ""),
        ("2", "20", "0.7", "1.0"),
        ("3", "30", "0.8", ""),
    ]


def test_lines_are_in_the_order_of_steps_as_numbers(tmp_path: Path) -> None:
    logged(tmp_path, (100, {"epoch": 2}), (9, {"epoch": 1})).save()
    logged(tmp_path, (20, {"epoch": 3})).save()
    assert [row["step"] for row in read(tmp_path)] == ["9", "20", "100"]


def test_figures_are_written_exactly(tmp_path: Path) -> None:
    values = [1 / 3, 1e-300, 0.1 + 0.2]
    logged(tmp_path, *((n, {"epoch": n, "x": value}) for n, value in enumerate(values))).save()
    assert [float(row["x"]) for row in read(tmp_path)] == values


def test_a_write_that_fails_half_way_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logged(tmp_path, (10, {"epoch": 1}))
    logger.save()
    before = (tmp_path / "metrics.csv").read_bytes()
    logger.log_metrics({"epoch": 2}, 20)

    def disk_full(self: csv.DictWriter, rows: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(csv.DictWriter, "writerows", disk_full)
        with pytest.raises(OSError, match="disk full"):
            logger.save()
    assert (tmp_path / "metrics.csv").read_bytes() == before
    logger.save()
    assert [row["step"] for row in read(tmp_path)] == ["10", "20"]


def test_a_run_that_logged_nothing_leaves_no_table(tmp_path: Path) -> None:
    logged(tmp_path).finalize("failed")
    assert list(tmp_path.iterdir()) == []
