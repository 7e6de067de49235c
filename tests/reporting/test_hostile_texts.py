"""Names, settings and errors that look like markup or formulas are texts in every output of a report."""

import csv
import io
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from convline.reporting.configurations import ReportTable, tables
from convline.reporting.export import as_csv, as_markdown
from convline.reporting.page import page
from convline.reporting.run_records import RunRecord, _record
from convline.reporting.terminal import show_tables
from support.hostile import HARMLESS, TEXTS, UNSEEN


def report(texts: tuple[str, ...]) -> list[ReportTable]:
    """Two finished runs and a failed one for each text, with the text wherever one can come from outside."""

    def record(text: str, index: int, **summary: object) -> RunRecord:
        config = {"seed": 0, "model": {"pattern": text}, "optimizer": {"lr": index + 0.5}, text: {text: text}}
        content = {"status": "finished", "choices": {"data": "digits", "model": text}, "seconds": 1.0, **summary}
        metrics = {"val/acc": 0.5, "test/acc": 0.5, f"test/{text}": 0.5}
        folder = Path("runs", f"{index} {text}".replace("/", "-"))
        return _record(folder, config, {"metrics": metrics, **content}, {"data_fingerprint": "0" * 16}, [])

    finished = [record(text, index) for index, text in enumerate(texts)]
    failed = [record(text, index, status="failed", error=text, metrics={}) for index, text in enumerate(texts)]
    other_data = [record(text, index, choices={"data": text}) for index, text in enumerate(texts)]
    return tables([*finished, *failed, *other_data])


@pytest.fixture(scope="module")
def hostile() -> list[ReportTable]:
    return report(TEXTS)


class Tags(HTMLParser):
    """Count the tags of a page, and the names of attributes that run code or fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] += 1
        for name, value in attrs:
            if name.startswith("on") or (name in ("src", "href") and not str(value).startswith(("#", "data:"))):
                self.found[f"{name}={value}"] += 1


def kinds(text: str) -> set[str]:
    return set(Tags(text).found)


def test_html(hostile: list[ReportTable]) -> None:
    text = page(hostile[:2], TEXTS[0])
    assert kinds(text) <= kinds(page(report((HARMLESS, "other"))[:2], HARMLESS))
    assert Tags(text).found["script"] == 1
    assert not set(UNSEEN) & set(text)


def test_markdown(hostile: list[ReportTable]) -> None:
    text = as_markdown(hostile)
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    assert kinds(markdown.render(text)) <= kinds(markdown.render(as_markdown(report((HARMLESS, "other")))))
    assert not set(UNSEEN) & set(text)


def test_csv(hostile: list[ReportTable]) -> None:
    text = as_csv(hostile)
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    formulas = [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r", "-"))]
    assert not formulas
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)
    assert not set(UNSEEN) & set(text)


def test_terminal(hostile: list[ReportTable], capsys: pytest.CaptureFixture[str]) -> None:
    show_tables(hostile)
    assert not set(UNSEEN) & set(capsys.readouterr().out)
