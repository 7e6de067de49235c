"""The report's page in a real browser: it opens without a network, shows every plot, sorts, and lights up marks."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convline.reporting.report import report_sweep
from support.made_runs import base_config, make_run

REQUIRED = os.environ.get("CONVLINE_REQUIRE_BROWSER") == "1"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
KINDS = {"setting", "interaction", "importance", "parallel", "curves", "pareto"}


def made_sweep(folder: Path) -> Path:
    """Models × learning rates × seeds with a failure and a search's importance, so that each kind of plot is drawn."""
    config, noise = base_config(), np.random.default_rng(0)
    for index, lr in enumerate((0.01, 0.03, 0.1, 0.3)):
        for model, parameters in (("lenet", 61_706), ("dense", 21_386), ("resnet20", 272_474)):
            for seed in range(3):
                accuracy = 0.95 - 0.02 * abs(index - 2) + parameters / 1e7 + noise.normal(0, 0.003)
                settings = {"optimizer.lr": lr, "model.pattern": model, "seed": seed}
                make_run(
                    folder / f"model={model},lr={lr},seed={seed}", config, settings, accuracy, {"model": model},
                    parameters=parameters, seconds=parameters / 1e4 + 5 * index,
                )  # fmt: skip
    make_run(folder / "lr=9", config, {"optimizer.lr": 9.0}, 0.1, status="failed", metrics={}, error="the loss is NaN")
    (folder / "importance.json").write_text(json.dumps({"optimizer.lr": 0.7, "model": 0.3}))
    report_sweep(folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        if REQUIRED:
            raise
        pytest.skip("the package playwright is not installed")
    if CHROMIUM is None:
        assert not REQUIRED, "no chromium"
        pytest.skip("no chromium; Debian has it as the package chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = made_sweep(tmp_path_factory.mktemp("project") / "runs" / "2026-01-01_00-00-00_sweep")
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.complaints = []
    opened.requests = []
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("request", lambda request: opened.requests.append(request.url))
    opened.goto(f"file://{folder / 'report.html'}")
    yield opened
    context.close()


def column(page: Any, name: str) -> list[str]:
    """The first table's cells below a head, as they are shown."""
    heads = page.locator("table.sortable").first.locator("thead th").all_inner_texts()
    place = [head.strip() for head in heads].index(name)
    return [row.locator("td").nth(place).inner_text() for row in page.locator("table.sortable tbody tr").all()]


def test_it_opens_offline_without_a_complaint(page: Any) -> None:
    assert page.locator("h1").inner_text().endswith("_sweep")
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith(("file://", "data:"))] == []


def test_every_kind_of_plot_is_visible_and_inside_its_card(page: Any) -> None:
    cards = page.locator(".card").all()
    assert {card.get_attribute("data-kind") for card in cards} == KINDS
    for card in cards:
        frame, drawing = card.bounding_box(), card.locator("svg").bounding_box()
        assert drawing["width"] > 250
        assert drawing["height"] > 100
        assert frame["x"] <= drawing["x"]
        assert drawing["x"] + drawing["width"] <= frame["x"] + frame["width"]


def test_no_label_is_cut_off(page: Any) -> None:
    cut = page.evaluate(
        """() => [...document.querySelectorAll(".card")].flatMap(card => {
          const frame = card.getBoundingClientRect();
          return [...card.querySelectorAll("svg text")].filter(text => {
            const box = text.getBoundingClientRect();
            return box.left < frame.left || box.right > frame.right || box.top < frame.top || box.bottom > frame.bottom;
          }).map(text => card.dataset.kind + ": " + text.textContent);
        })"""
    )
    assert cut == []


def test_the_page_is_no_wider_than_the_window(page: Any) -> None:
    for width in (1280, 700, 380):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1280, "height": 900})


def test_labels_of_plots_are_readable_on_a_narrow_screen(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 900})
    heights = page.evaluate(
        """() => [...document.querySelectorAll(".card svg text")]
          .filter(text => !text.getAttribute("transform")?.includes("rotate(-90)"))
          .map(text => text.getBoundingClientRect().height)"""
    )
    page.set_viewport_size({"width": 1280, "height": 900})
    assert min(heights) > 7


def test_the_table_sorts_by_numbers_and_back(page: Any) -> None:
    assert column(page, "#") == [str(rank) for rank in range(1, 14)]
    page.get_by_role("button", name="lr", exact=True).click()
    rates = [float(cell) for cell in column(page, "lr")]
    assert rates == sorted(rates)
    assert rates[-1] == 9
    page.get_by_role("button", name="lr", exact=True).click()
    assert [float(cell) for cell in column(page, "lr")] == sorted(rates, reverse=True)
    page.get_by_role("button", name="val/acc %", exact=True).click()
    figures = column(page, "val/acc %")
    assert figures[-1] == "–", "what has no figure is last"
    assert [float(f.split()[0]) for f in figures[:-1]] == sorted(float(f.split()[0]) for f in figures[:-1])
    page.get_by_role("button", name="val/acc %", exact=True).click()
    assert column(page, "val/acc %")[-1] == "–"
    page.get_by_role("button", name="model", exact=True).click()
    assert column(page, "model") == sorted(column(page, "model"))
    page.get_by_role("button", name="#", exact=True).click()
    assert column(page, "#") == [str(rank) for rank in range(1, 14)]


def test_a_mark_tells_its_configuration_and_lights_it_up_everywhere(page: Any) -> None:
    mark = page.locator(".card[data-kind=pareto] svg a").first
    row = mark.get_attribute("xlink:href").removeprefix("#")
    mark.hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    cells = page.locator(f"#{row} td").all_inner_texts()
    assert cells[1] in tip.inner_text()
    assert cells[3].split()[0] in tip.inner_text()
    assert "on" in page.locator(f"#{row}").get_attribute("class")
    lit = page.locator(".card svg a.on").count()
    assert lit == page.locator(f'.card svg a[*|href="#{row}"]').count() > 3
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    assert page.locator(".on").count() == 0


def test_a_click_on_a_mark_leads_to_its_row(page: Any) -> None:
    mark = page.locator(".card[data-kind=setting] svg a").first
    row = mark.get_attribute("xlink:href").removeprefix("#")
    mark.click()
    assert page.url.endswith(f"#{row}")
    assert len(page.context.pages) == 1
    inside = page.evaluate(
        """id => {
          const row = document.getElementById(id).getBoundingClientRect();
          return row.top >= 0 && row.bottom <= innerHeight;
        }""",
        row,
    )
    assert inside
    page.mouse.move(0, 0)


def test_what_failed_is_listed(page: Any) -> None:
    assert page.locator("table.unfinished tbody tr").all_inner_texts() == [
        "failed\t2026-01-01_00-00-00_sweep/lr=9\tthe loss is NaN"
    ]


def test_no_text_from_outside_becomes_markup(tmp_path: Path) -> None:
    """A folder, an option, a value and an error that are markup are shown letter by letter."""
    evil = '"><img src=x><script>alert(1)'
    config, folder = base_config(), tmp_path / "<b>sweep"
    for seed, pattern in enumerate((evil, "FC")):
        make_run(folder / f"<b>{seed}", config, {"model.pattern": pattern}, 0.9, {"model": pattern, "data": evil})
    make_run(folder / "<b>failed", config, {}, 0.1, {"data": evil}, status="failed", metrics={}, error=evil)
    report_sweep(folder)
    page = (folder / "report.html").read_text()
    assert page.count("&lt;script&gt;alert(1)") >= 3  # the data set, the column of models, the error
    assert "<img" not in page
    assert "<b>" not in page
    assert page.count("<script>") == 1  # our own
