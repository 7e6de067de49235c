"""`convline reproduce`: which lessons there are, what came out of them, and doing them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from convline import config
from convline.errors import UserError, nearest
from convline.lessons.catalogue import LESSONS
from convline.lessons.findings import Finding
from convline.lessons.lesson import Lesson
from convline.lessons.results import Results, load

STORED = config.CONF_DIR.parent / "docs" / "reproduction"


def show_list() -> None:
    """Print every lesson's findings, from the results that are kept with the code."""
    console = Console()
    for lesson in LESSONS.values():
        results = load(STORED / f"{lesson.name}.json")
        if results is None:
            console.print(f"{lesson.name}: {lesson.title}. No results are stored.", highlight=False)
        else:
            console.print(_grid(lesson, [claim.check(results) for claim in lesson.claims()]))


def reproduce(names: Sequence[str], seeds: int | None, folder: Path, words: Sequence[str]) -> None:
    """Do lessons, print what came out, and say where their pages are.

    Args:
        names: of lessons; "all" for every one.
        seeds: of each configuration; the lesson's own number if None.
        folder: where their folders are made.
        words: further settings of every run.
    Raises:
        UserError: there is no such lesson, or a run failed.
    """
    if not names:
        raise UserError(f"which lesson? convline reproduce --list shows them: {', '.join(LESSONS)}, or all")
    chosen = [_lesson(name) for name in (LESSONS if list(names) == ["all"] else names)]
    from convline.lessons.perform import perform

    for lesson in chosen:
        results = perform(lesson, folder / lesson.name, seeds or lesson.seeds, words)
        Console().print(_grid(lesson, [claim.check(results) for claim in lesson.claims()]))
        print(f"written: {folder / lesson.name / 'page.html'}")


def _lesson(name: str) -> Lesson:
    if name not in LESSONS:
        raise UserError(f"there is no lesson '{name}'{nearest(name, LESSONS)}.\n  Lessons: {', '.join(LESSONS)}, all")
    return LESSONS[name]


def stored(name: str) -> Results:
    """The results of a lesson that are kept with the code; empty ones if there are none."""
    return load(STORED / f"{name}.json") or Results(name)


def _grid(lesson: Lesson, findings: Sequence[Finding]) -> Table:
    grid = Table(title=f"{lesson.name}: {lesson.title}", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for head in ("claim", "published", "reproduced", "verdict"):
        grid.add_column(head)
    for found in findings:
        grid.add_row(found.claim, found.published, found.reproduced, found.verdict)
    return grid
