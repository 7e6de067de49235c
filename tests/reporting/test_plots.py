"""The report's plots: what is drawn where, and what is left out."""

import json
import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convline.reporting import run_records as records
from convline.reporting.configurations import Configuration, ReportTable, tables
from convline.reporting.page import page
from convline.reporting.plots import heatmap, hyperparameters, pareto
from convline.reporting.plots import learning_curves as curves
from convline.reporting.plots import parallel_coordinates as parallel
from convline.reporting.plots.axes import Effect, Scale, effect, make_scale, spreads_over_decades
from convline.reporting.plots.style import FULL, HALF, Plot, Point, ranked_points, robust_limits
from support.made_runs import base_config, make_run

CONFIG = base_config()
Folder = Path


def table(folder: Folder, accuracies: dict[tuple[Any, ...], float], *keys: str, **summary: Any) -> ReportTable:
    """A table of runs whose settings are given by `keys` and the values before each accuracy."""
    for number, (values, accuracy) in enumerate(accuracies.items()):
        settings = dict(zip(keys, values, strict=True))
        make_run(folder / f"{number}", CONFIG, settings, accuracy, **summary)
    (found,) = tables(records.find_runs([folder]))
    return found


def marks(plot: Plot | None) -> list[str]:
    assert plot is not None
    return re.findall(r'xlink:href="#(r\d+)"', plot.svg)


def axis(found: ReportTable, key: str) -> tuple[Scale, list[Point]]:
    marked = ranked_points(found, "r")
    made = make_scale(key, marked)
    assert made is not None
    return made, marked


# --- scales ---------------------------------------------------------------------------------------------------------


def test_few_values_stand_side_by_side_in_order(tmp_path: Path) -> None:
    values = {(0.1, None): 0.9, (0.001, 2.0): 0.8, (0.01, 1.0): 0.7}
    found = table(tmp_path, values, "optimizer.lr", "classifier.gradient_clip_norm")
    rate, _ = axis(found, "optimizer.lr")
    assert (rate.kind, rate.values, rate.ticks()) == (
        "side by side", (0.001, 0.01, 0.1), ([0.0, 1.0, 2.0], ["0.001", "0.01", "0.1"])
    )  # fmt: skip
    assert axis(found, "classifier.gradient_clip_norm")[0].ticks()[1] == ["null", "1", "2"]
    assert make_scale("optimizer.momentum", ranked_points(found, "r")) is None


def test_many_numbers_are_on_the_scale_that_spreads_them(tmp_path: Path) -> None:
    values = {(10.0**-k, k / 100): 0.5 + k / 100 for k in range(1, 10)}
    found = table(tmp_path, values, "optimizer.lr", "classifier.label_smoothing")
    rate, _ = axis(found, "optimizer.lr")
    assert rate.kind == "log"
    assert rate.position(0.01) == pytest.approx(-2)
    assert rate.ticks()[1] == ["1e-09", "1e-07", "1e-05", "0.001", "0.1"]
    assert axis(found, "classifier.label_smoothing")[0].kind == "linear"
    assert spreads_over_decades([1, 10, 100])
    assert not spreads_over_decades([1, 50, 100])
    assert not spreads_over_decades([0, 0.1, 1000])
    assert not spreads_over_decades([1, 1.4, 2])


def test_ticks_of_short_log_scales_are_round() -> None:
    places, labels = Scale("lr", (0.004, 0.3), "log").ticks()
    assert labels == ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]
    assert places == pytest.approx([math.log10(float(label)) for label in labels])


def test_effect_is_the_share_of_variance_between_values(tmp_path: Path) -> None:
    values = {(0.1, 16): 0.1, (0.1, 32): 0.3, (0.2, 16): 0.5, (0.2, 32): 0.7}
    found = table(tmp_path, values, "optimizer.lr", "data.batch_size")
    # mean 40 %; squares 900 + 100 + 100 + 900 = 2000, of which 4 × 20² = 1600 lie between the rates, 4 × 10² the sizes;
    # 200 and 800 is the variance within, so that ω² = (1600 - 200) / (2000 + 200) and (400 - 800) / …, which is none
    rate, marked = axis(found, "optimizer.lr")
    assert effect(rate, marked).share == pytest.approx(1400 / 2200)
    assert effect(axis(found, "data.batch_size")[0], marked).share == 0
    assert [a.key for a in hyperparameters.axes_by_effect(found, marked)] == ["optimizer.lr", "data.batch_size"]


def made_point(settings: dict[str, Any], y: float) -> Point:
    row = Configuration()
    row.__dict__["settings"] = settings  # a cached property
    return Point(row, "r1", 1, y, math.nan, (y,))


def effect_of(key: str, points: list[Point]) -> Effect:
    made = make_scale(key, points)
    assert made is not None
    return effect(made, points)


def test_a_setting_without_effect_does_not_win_by_its_many_values() -> None:
    """A rate without effect in eight groups, and a model that explains a fifth of the variance: 200 searches of 20."""
    rng, num_first, shares = np.random.default_rng(0), 0, []
    for _ in range(200):
        rates, models = rng.permutation(20) / 20 + 0.01, rng.permutation(20) % 2
        metrics = models + rng.normal(size=20)
        points = [made_point({"lr": r, "model": int(m)}, y) for r, m, y in zip(rates, models, metrics, strict=True)]
        by_rate, by_model = (effect_of(key, points) for key in ("lr", "model"))
        num_first += by_rate.share > by_model.share
        shares.append(by_rate.share)
        assert 0 <= by_model.low <= by_model.high <= 1
    assert num_first / 200 < 0.35  # 0.76 by η²
    assert np.mean(shares) < 0.15  # 0.37 by η²


def test_the_interval_of_an_effect_holds_the_true_share() -> None:
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        points = [made_point({"model": i % 2}, i % 2 + rng.normal()) for i in range(40)]
        found = effect_of("model", points)
        inside += found.low <= 0.2 <= found.high  # variance 0.25 between, 1 within
    assert 0.9 <= inside / 200 <= 0.99


def test_runs_that_went_wrong_do_not_set_the_axis() -> None:
    values = [90.0, 91.0, 92.0, 93.0, 94.0, 10.0]
    low, high = robust_limits(values, "val/acc")
    assert 85 < low < 90
    assert 94 < high < 95
    assert robust_limits(values, "val/loss")[0] < 10, "for a loss the low value is the good one"
    assert robust_limits([2.3, 0.1, 0.11, 0.12, 0.13], "val/loss")[1] < 0.2
    low, high = robust_limits([5.0], "val/loss")
    assert low < 5 < high


# --- plots ----------------------------------------------------------------------------------------------------------

GRID = {(lr, size): 0.9 - abs(lr - 0.1) - size / 1000 for lr in (0.01, 0.1, 0.2) for size in (16, 32)}


def test_each_setting_has_a_plot_whose_marks_lead_to_the_rows(tmp_path: Path) -> None:
    found = table(tmp_path, GRID, "optimizer.lr", "data.batch_size")
    marked = ranked_points(found, "r")
    drawn = hyperparameters.against_metric(found, marked, hyperparameters.axes_by_effect(found, marked), FULL)
    assert [plot.title for plot in drawn] == ["lr", "batch_size"]
    for plot in drawn:
        assert sorted(marks(plot)) == ["r1", "r2", "r3", "r4", "r5", "r6"]


@pytest.mark.parametrize(("number", "last"), [(1, 1), (2, 2), (3, 0), (4, 4), (5, 2), (6, 0), (7, 4), (12, 0)])
def test_no_plot_is_alone_in_its_row(number: int, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = table(tmp_path, GRID, "optimizer.lr", "data.batch_size")
    widths: list[float] = []
    monkeypatch.setattr(hyperparameters, "_plot_setting", lambda table, marked, axis, width: widths.append(width))
    hyperparameters.against_metric(found, ranked_points(found, "r"), [axis(found, "optimizer.lr")[0]] * number, HALF)
    assert [width > 400 for width in widths] == [False] * (number - last) + [True] * last


def test_the_heat_map_has_a_cell_for_each_pair(tmp_path: Path) -> None:
    found = table(tmp_path, GRID, "optimizer.lr", "data.batch_size")
    marked = ranked_points(found, "r")
    plot = heatmap.heat_map(found, marked, hyperparameters.axes_by_effect(found, marked), FULL)
    assert plot is not None
    assert (plot.title, len(marks(plot))) == ("lr × batch_size", 6)
    assert all(f">{100 * accuracy:.2f}<" in plot.svg for accuracy in GRID.values())
    diagonal = table(tmp_path / "d", {(k / 10, k): 0.9 for k in range(1, 6)}, "optimizer.lr", "data.batch_size")
    marked = ranked_points(diagonal, "r")
    assert heatmap.heat_map(diagonal, marked, hyperparameters.axes_by_effect(diagonal, marked), FULL) is None


def test_parallel_coordinates_have_a_line_for_each_configuration(tmp_path: Path) -> None:
    found = table(tmp_path, GRID, "optimizer.lr", "data.batch_size")
    marked = ranked_points(found, "r")
    by_effect = hyperparameters.axes_by_effect(found, marked)
    plot = parallel.parallel_coordinates(found, marked, by_effect, FULL)
    assert marks(plot) == ["r6", "r5", "r4", "r3", "r2", "r1"], "the best is drawn last, on top"
    assert parallel.parallel_coordinates(found, marked, by_effect[:1], FULL) is None
    assert parallel.parallel_coordinates(found, marked[:2], by_effect, FULL) is None


def test_a_value_that_the_colors_do_not_show_is_marked_and_few_values_are_all_shown(tmp_path: Path) -> None:
    def drawn(num_lr: int, folder: Path) -> tuple[Plot, Plot]:
        grid = {(lr / 10, size): 0.9 + lr / 1000 + size / 1e5 for lr in range(1, num_lr + 1) for size in (16, 32, 64)}
        grid[0.1, 16] = 0.1
        found = table(folder, grid, "optimizer.lr", "data.batch_size")
        marked = ranked_points(found, "r")
        by_effect = hyperparameters.axes_by_effect(found, marked)
        plots = (
            heatmap.heat_map(found, marked, by_effect, FULL),
            parallel.parallel_coordinates(found, marked, by_effect, FULL),
        )
        assert plots[0] is not None
        assert plots[1] is not None
        return plots[0], plots[1]

    heat, lines = drawn(9, tmp_path / "many")
    assert heat.caption.endswith("▼: 1 worse than the colors show.")
    assert "10.00 ▼" in heat.svg
    assert lines.caption.endswith("Dashed: 1 worse than the axis of the metric shows.")
    heat, lines = drawn(4, tmp_path / "few")
    assert "worse than" not in heat.caption + lines.caption


def test_the_caption_counts_the_triangles_beyond_the_axis(tmp_path: Path) -> None:
    accuracies = {(lr, 0.0): 0.90 + lr / 100 for lr in (0.1, 0.2, 0.3, 0.4, 0.5)} | {(9.0, 0.0): 0.1}
    found = table(tmp_path, accuracies, "optimizer.lr", "optimizer.weight_decay")
    marked = ranked_points(found, "r")
    (plot,) = hyperparameters.against_metric(found, marked, hyperparameters.axes_by_effect(found, marked), FULL)
    assert plot.caption == "optimizer.lr; triangles: 1 beyond the axis"


def test_the_caption_names_the_gray_bars_where_there_are_some(tmp_path: Path) -> None:
    found = table(tmp_path, GRID, "optimizer.lr", "data.batch_size")
    marked = ranked_points(found, "r")
    plots = hyperparameters.against_metric(found, marked, hyperparameters.axes_by_effect(found, marked), FULL)
    assert [plot.caption.endswith("; gray bars: medians") for plot in plots] == [True, True]
    single = table(tmp_path / "single", {(0.1,): 0.9, (0.2,): 0.8}, "optimizer.lr")
    marked = ranked_points(single, "r")
    (plot,) = hyperparameters.against_metric(single, marked, hyperparameters.axes_by_effect(single, marked), FULL)
    assert plot.caption == "optimizer.lr"


def test_the_pareto_front_by_hand() -> None:
    costs = [1, 2, 2, 3, 4, 5]
    figures = [0.5, 0.7, 0.6, 0.7, 0.9, 0.8]
    assert pareto.pareto_front(costs, figures, lower=False) == [0, 1, 4]
    assert pareto.pareto_front(costs, figures, lower=True) == [0]
    assert pareto.pareto_front([3, 1], [0.2, 0.1], lower=False) == [1, 0]


def test_costs_are_drawn_where_they_differ(tmp_path: Path) -> None:
    found = table(tmp_path, GRID, "optimizer.lr", "data.batch_size")
    assert pareto.against_costs(found, ranked_points(found, "r")) == []
    for number, run in enumerate(records.find_runs([tmp_path])):
        make_run(tmp_path / "s" / f"{number}", CONFIG, dict(run.settings), 0.5 + number / 10, seconds=10.0 * 2**number)
    (other,) = tables(records.find_runs([tmp_path / "s"]))
    (plot,) = pareto.against_costs(other, ranked_points(other, "r"))
    assert plot.title == "val/acc against time"


def test_the_cheapest_may_be_the_best(tmp_path: Path) -> None:
    for number, seconds in enumerate((10.0, 100.0, 1000.0)):  # so far apart that the axis is logarithmic
        for seed in (0, 1):
            settings = {"optimizer.lr": 0.1 * (number + 1), "seed": seed}
            make_run(tmp_path / f"{number}-{seed}", CONFIG, settings, 0.9 - number / 10 + seed / 100, seconds=seconds)
    (found,) = tables(records.find_runs([tmp_path]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (plot,) = pareto.against_costs(found, ranked_points(found, "r"))
    assert "log scale" in plot.svg


def test_curves_are_aggregated_as_far_as_every_seed_came(tmp_path: Path) -> None:
    make_run(tmp_path / "a", CONFIG, {"seed": 0}, 0.9, num_epochs=3)
    make_run(tmp_path / "b", CONFIG, {"seed": 1}, 0.8, num_epochs=5)
    (found,) = tables(records.find_runs([tmp_path]))
    by_epoch = curves.curve(found.rows[0], "val/acc")
    assert list(by_epoch) == [1, 2, 3]
    assert by_epoch[2].values == pytest.approx([0.9 * (1 - 0.6 * math.exp(-2)), 0.8 * (1 - 0.6 * math.exp(-2))])
    plot = curves.learning_curves(found, ranked_points(found, "r"))
    assert plot is not None
    assert "Bands" in plot.caption
    assert curves.curve(found.rows[0], "val/other") == {}


def test_the_curve_of_one_epoch_stands_at_one(tmp_path: Path) -> None:
    make_run(tmp_path / "a", CONFIG, {"seed": 0}, 0.9, num_epochs=1)
    (found,) = tables(records.find_runs([tmp_path]))
    plot = curves.learning_curves(found, ranked_points(found, "r"))
    assert plot is not None
    assert ">1</text>" in plot.svg
    assert ">1.0" not in plot.svg


def test_importance_is_drawn_from_the_searches_file(tmp_path: Path) -> None:
    assert hyperparameters.importance(tmp_path) is None
    for damaged in ("", "[1]", '{"lr": "much"}', "{}", '{"lr": NaN}'):
        (tmp_path / "importance.json").write_text(damaged)
        assert hyperparameters.importance(tmp_path) is None
    (tmp_path / "importance.json").write_text(json.dumps({"data.batch_size": 0.2, "optimizer.lr": 0.8}))
    plot = hyperparameters.importance(tmp_path)
    assert plot is not None
    assert plot.svg.index("optimizer.lr") < plot.svg.index("data.batch_size")
    assert ">0.80<" in plot.svg


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    bad = '<script>alert("1")</script> $\\frac{ & 漢 "'
    values = {(bad, 0.1): 0.9, ("plain", 0.1): 0.8, ("plain", 0.2): 0.7}
    found = table(tmp_path, values, "model.pattern", "optimizer.lr")
    make_run(tmp_path / "x", CONFIG, {"optimizer.lr": 5.0}, 0.1, status="<b>odd</b>", error=bad)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = page(tables(records.find_runs([tmp_path])), bad)
    assert len(found.columns) == 2
    assert "<script>alert" not in text
    assert "<b>odd" not in text
    assert text.count("<script>") == 1
