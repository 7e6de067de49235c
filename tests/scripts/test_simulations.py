"""The simulations of `scripts/simulations.py` with few experiments: what they give is sane, and the page has it."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

import simulations
from convline.reporting.comparison import comparison
from simulation import calibration, images, seeds, selection, settings, several, two_groups
from simulation.groups import METRIC, group, is_supported, verdict_of
from simulation.tables import Rate, Table, as_grid, as_markdown, coverage
from simulations import Part
from support.commands import ROOT

FEW = 16
PAGE = (ROOT / "docs" / "statistics.md").read_text()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest of each case: all of them take minutes even with few experiments."""
    monkeypatch.setattr(several, "NUM_GROUPS", (2, 5))
    monkeypatch.setattr(several, "SIZES", ((2, 5), (5, 10)))
    monkeypatch.setattr(selection, "NUM_CONFIGURATIONS", (2, 8))
    monkeypatch.setattr(two_groups, "SIZES", ((2, 10), (4, 5)))
    monkeypatch.setattr(settings, "SHAPES", ((2, 3), (4, 10)))
    monkeypatch.setattr(seeds, "SEEDS", (5,))


def rows(table: Table) -> dict[str, list[float]]:
    """The rates of each row, by its first cell."""
    return {str(row[0]): [cell.value for cell in row if isinstance(cell, Rate)] for row in table.rows}


@pytest.mark.parametrize("part", simulations.SIMULATIONS)
def test_every_table_is_whole_and_on_the_page(part: Part) -> None:
    for table in simulations.simulate(part, FEW, seed=1):
        assert table.rows
        assert all(len(row) == len(table.columns) for row in table.rows), table.title
        assert all(0 <= rate.value <= 1 for rate in table.rates), table.title
        assert f"*{table.title}; " in PAGE, "type: python scripts/simulations.py all --markdown FILE"
        assert f"| {' | '.join(table.columns)} |" in PAGE, table.title
        assert all(f"| {row[0]} |" in PAGE for row in table.rows), table.title


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, second, other = (simulations.simulate(Part.VERDICT, FEW, seed) for seed in (0, 0, 1))
    assert [as_markdown(table) for table in first] == [as_markdown(table) for table in second]
    assert [as_markdown(table) for table in first] != [as_markdown(table) for table in other]


def test_intervals_hold_the_truth_mostly_and_those_of_failing_seeds_do_not() -> None:
    found = rows(seeds.intervals(200, np.random.default_rng(0)))
    assert all(rate > 0.88 for rate in found["normal, equal spreads"])
    assert found["one seed in ten fails"][0] < 0.6
    power = seeds.power(200, np.random.default_rng(0))
    assert all(0.7 < rate.value < 0.95 for rate in power.rates)


def test_the_verdict_of_a_simulation_is_that_of_the_command() -> None:
    rng = np.random.default_rng(0)
    outcomes = set()
    for shift in (0, 1, 2, 3):
        a, b = group((shift + rng.standard_normal(5)).tolist(), "a"), group(rng.standard_normal(5).tolist(), "b")
        whole = comparison(a, b, METRIC)
        assert whole.over_seeds is not None
        assert is_supported(verdict_of(a, b)) == whole.over_seeds.is_supported
        outcomes.add(whole.over_seeds.is_supported)
    assert outcomes == {True, False}


def test_without_correction_more_pairs_seem_to_differ() -> None:
    table = several.even(40, np.random.default_rng(0))
    uncorrected, corrected, contradictions = np.array(
        [[cell.value for cell in row if isinstance(cell, Rate)] for row in table.rows if row[1] == "5"]
    ).T
    assert (uncorrected >= corrected).all()
    assert uncorrected.max() > 0.15
    assert not contradictions.any()


def test_a_choice_is_too_good_and_its_bias_is_about_the_stated_one() -> None:
    excess, stated = map(float, selection._row(150, np.random.default_rng(0), 0.9, 8, 5)[3:5])
    assert excess == pytest.approx(0.9 * 1.4236 / np.sqrt(5), abs=0.1)  # expected maximum of eight: Harter 1961
    assert stated == pytest.approx(excess, abs=0.15)


def test_a_network_that_is_calibrated_has_the_ece_of_chance() -> None:
    (table,) = calibration.simulate(80, np.random.default_rng(0))
    for row in table.rows:
        error, by_chance = (float(str(cell).removesuffix("%")) for cell in row[2:4])
        assert by_chance == pytest.approx(error, rel=0.3)


def test_an_interval_that_is_too_narrow_is_marked() -> None:
    assert str(coverage([(0.0, 1.0)] * 85 + [(1.0, 2.0)] * 15, 0.5)) == "0.850 (!)"
    assert str(coverage([(0.0, 1.0)] * 92 + [(1.0, 2.0)] * 8, 0.5)) == "0.920"  # as 0.93 may give by chance
    assert str(Rate(8, 100, "errors")) == "0.080"
    assert str(Rate(160, 2000, "errors")) == "0.080 (!)"
    assert str(Rate(160, 2000)) == "0.080"


def test_a_table_is_shown_on_the_terminal() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(as_grid(Table("Coverage", ("case", "rate"), [("x", Rate(50, 100, "coverage"))], "100", "Remark")))
    text = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert text.startswith("Coverage; 100 experiments a row. Remark")
    assert "0.500 (!)" in text


def test_a_broken_claim_gives_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Typer()
    app.command()(simulations.main)

    def status(count: int) -> int:
        table = Table("a", ("case", "rate"), [("x", Rate(count, 100, "errors"))], "100")
        monkeypatch.setattr(simulations, "simulate", lambda *_: [table])
        done = CliRunner().invoke(app, ["images", "--markdown", str(tmp_path / "out.md")])
        assert "| x | " in (tmp_path / "out.md").read_text()
        return done.exit_code

    assert (status(5), status(50)) == (0, 1)


def test_few_differing_images_are_no_proof() -> None:
    alone = images._accuracy_comparison(355, 5, 0)[0]
    assert alone.difference.is_supported
    assert not alone.is_supported
    assert images._accuracy_comparison(355, 6, 0)[0].is_supported
