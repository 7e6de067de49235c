"""`convline reproduce`: which lessons there are, what came out of them, and doing them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from convline.config import compose as config
from convline.errors import UserError, nearest
from convline.lessons.catalogue import LESSONS
from convline.lessons.claims import Finding
from convline.lessons.lesson import Lesson
from convline.lessons.results import Results, load

OWN = ("experiment", "seed", "seeds", "runs_dir", "rerun", "resume", "name")  # settings of each lesson
STORED = config.CONF_DIR.parent / "docs" / "reproduction"


def show_list(names: Sequence[str]) -> None:
    """Print lessons' findings, from the results that are kept with the code.

    Args:
        names: of lessons; none, or "all", for every one.
    Raises:
        UserError: there is no such lesson.
    """
    console = Console()
    for lesson in _chosen(names or ["all"]):
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
        UserError: there is no such lesson, a setting is none that all runs can have, or a run failed.
    """
    if not names:
        raise UserError(f"which lesson? convline reproduce --list shows them: {', '.join(LESSONS)}, or all")
    chosen = _chosen(names)
    _check(words, chosen)
    from convline.lessons.reproduce import perform

    for lesson in chosen:
        results = perform(lesson, folder / lesson.name, seeds or lesson.seeds, words)
        Console().print(_grid(lesson, [claim.check(results) for claim in lesson.claims()]))
        print(f"written: {folder / lesson.name / 'page.html'}")


def _chosen(names: Sequence[str]) -> list[Lesson]:
    return [_lesson(name) for name in (LESSONS if list(names) == ["all"] else names)]


def _check(words: Sequence[str], chosen: Sequence[Lesson]) -> None:
    """Settings are those of every run: no lists of values, no seeds, no folders; and there must be runs."""
    for override in config.parse_overrides(words):
        word, key = override.input_line, override.key_or_group
        if override.is_sweep_override():
            raise UserError(f"{word} is a list of values, but a lesson sets what is compared: give one value.")
        if key in OWN or key.startswith("hydra"):
            raise UserError(f"{word}: a lesson sets {key} itself. Its seeds are --seeds N, its folder is --folder DIR.")
    if words and not any(lesson.studies for lesson in chosen):
        raise UserError(f"{words[0]}: {chosen[0].name} trains nothing: settings have no effect. Leave them out.")


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
