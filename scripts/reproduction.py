"""Keeps what lessons gave with the code: `python scripts/reproduction.py [FOLDER]`, after `convline reproduce all`.

From FOLDER, runs/reproduce if left out, the results and figures of the lessons that are there go to docs/reproduction/.
Then docs/reproduction.md and the heads of the experiments are written again from all that is kept.
"""

import re
import shutil
import sys
from pathlib import Path

from convline.lessons import page
from convline.lessons.catalogue import LESSONS
from convline.lessons.lesson import Lesson
from convline.lessons.listing import STORED, stored
from convline.lessons.reproduce import RESULTS
from convline.lessons.results import load
from convline.reporting.metric_text import folded

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "conf" / "experiment"
PAGE = ROOT / "docs" / "reproduction.md"
HEAD = """# The lessons, reproduced

What tutorials of ConvNets print, done again by one command each, with several seeds. `convline reproduce --list`
prints the findings below, `convline reproduce NAME` does a lesson again, into `runs/reproduce/NAME/`; typed again it
trains only what is missing, and `--seeds 5` adds seeds. This page is written by `python scripts/reproduction.py` from
`docs/reproduction/*.json`.

A published figure is one run. The verdict is *reproduced* if it lies where one further run of ours would lie with 95 %
probability, by the spread over our seeds; otherwise it says by how much our mean differs. That one configuration beats
another *holds* if Welch's 95 % interval of the difference excludes zero. Figures are mean ± standard deviation (seeds).
The fastest epoch's time, training alone, was taken while other programs ran, and is no benchmark.
"""


def main(folder: Path) -> None:
    """Keep, and write the page."""
    there = [lesson for name, lesson in LESSONS.items() if (folder / name / RESULTS).is_file()]
    for lesson in there:
        check(lesson, folder / lesson.name)
    for lesson in there:
        keep(lesson, folder / lesson.name)
    PAGE.write_text(document())
    for path, text in heads().items():
        path.write_text(text)


def check(lesson: Lesson, folder: Path) -> None:
    """Only the lesson itself is kept: with its own settings, and with all its seeds.

    Raises:
        SystemExit: these results are others.
    """
    results = load(folder / RESULTS)
    assert results is not None
    if results.is_changed:
        raise SystemExit(f"{folder} was done with other settings than the lesson's: {' '.join(results.words)}")
    fewest = min((len(results.arm(label).seeds) for study in lesson.studies for label in study.labels), default=None)
    if fewest is not None and fewest < lesson.seeds:
        raise SystemExit(f"{folder} holds {fewest} of {lesson.seeds} seeds; type: convline reproduce {lesson.name}")


def keep(lesson: Lesson, folder: Path) -> None:
    """Copy a lesson's results and figures."""
    STORED.mkdir(exist_ok=True)
    shutil.copy(folder / RESULTS, STORED / f"{lesson.name}.json")
    for name in lesson.figures:
        shutil.copy(folder / f"{name}.png", STORED / f"{name}.png")


def document() -> str:
    """docs/reproduction.md."""
    parts = [HEAD]
    for lesson in LESSONS.values():
        results = stored(lesson.name)
        if results.made:
            parts.append(f"## {lesson.name}: {lesson.title}\n\n{page.section(lesson, results, 'reproduction/')}")
    return "\n".join(parts)


def heads() -> dict[Path, str]:
    """The experiments' files, each with its measured results as comments below its first sentence."""
    files: dict[Path, list[str]] = {}
    for lesson in LESSONS.values():
        results = stored(lesson.name)
        for study in lesson.studies:
            found = [results.arms[label] for label in study.labels if label in results.arms]
            where = f" ({' '.join(study.words)})" if study.words else ""
            lines = [f"#   {arm.label}: {folded('test/acc', arm.sample('test/acc'))} %" for arm in found]
            if lines:
                title = f"# Measured, test accuracy{where}:"
                files.setdefault(EXPERIMENTS / f"{study.experiment}.yaml", []).extend([title, *lines])
    return {path: with_head(path.read_text(), lines) for path, lines in files.items()}


def with_head(text: str, lines: list[str]) -> str:
    """An experiment's text with these lines in the place of the last ones of their kind."""
    kept = re.sub(r"^# Measured, test accuracy.*\n(#   .*\n)*", "", text, flags=re.MULTILINE)
    first = re.match(r"(#.*\n)+", kept)
    assert first is not None, "an experiment begins with a sentence"
    return kept[: first.end()] + "\n".join(lines) + "\n" + kept[first.end() :]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/reproduce"))
