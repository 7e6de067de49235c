"""Keeps what lessons gave with the code: `python scripts/reproduction.py [FOLDER]`, after `convline reproduce all`.

From FOLDER, runs/reproduce if left out, the results and figures of the lessons that are there go to docs/reproduction/.
Then docs/reproduction.md and the heads of the experiments are written again from all that is kept.
"""

import re
import shlex
import shutil
import sys
from pathlib import Path

from convline.lessons import page
from convline.lessons.catalogue import LESSONS
from convline.lessons.claims import check_all
from convline.lessons.lesson import Lesson
from convline.lessons.reproduce import RESULTS_FILE, STORED_RESULTS, load_stored
from convline.lessons.results import load_results
from convline.reporting.metric_text import mean_and_spread
from convline.reporting.statistics import holm

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "conf" / "experiment"
PAGE = ROOT / "docs" / "reproduction.md"
INTRODUCTION = """# The lessons, reproduced

What tutorials of ConvNets print, done again by one command each, with several seeds. `convline reproduce --list`
prints the findings below, `convline reproduce NAME` does a lesson again, into `runs/reproduce/NAME/`; typed again it
trains only what is missing, and `--seeds 5` adds seeds. This page is written by `python scripts/reproduction.py` from
`docs/reproduction/*.json`.

A published figure is one run. If it lies where one further run of ours would lie with 95 % probability, by the spread
over our seeds, it is *not contradicted*; it is *reproduced* if there are at least five seeds, and that interval reaches
no further than one point of accuracy, or 0.1 of a loss, from our mean. Otherwise the verdict says by how much our mean
differs. That one configuration beats another *holds* if Welch's 95 % interval of the difference excludes zero.
{comparisons}
Figures are mean ± standard deviation (seeds).
The fastest epoch's time, training alone, was taken while other programs ran, and is no benchmark.
"""


def main(folder: Path) -> None:
    """Store the results that are in a folder, then write the page and the headers of the experiments."""
    lessons = [lesson for name, lesson in LESSONS.items() if (folder / name / RESULTS_FILE).is_file()]
    for lesson in lessons:  # all of them before any is stored
        check(lesson, folder / lesson.name)
    for lesson in lessons:
        store(lesson, folder / lesson.name)
    PAGE.write_text(document())
    for path, text in experiments_with_headers().items():
        path.write_text(text)


def check(lesson: Lesson, folder: Path) -> None:
    """Refuse results of other settings than the lesson's, or of fewer seeds.

    Raises:
        SystemExit: the results cannot stand for the lesson.
    """
    results = load_results(folder / RESULTS_FILE)
    assert results is not None
    if results.has_other_settings:
        raise SystemExit(f"{folder} was done with other settings than the lesson's: {' '.join(results.overrides)}")
    labels = [label for sweep in lesson.sweeps for label in sweep.labels]
    fewest = min((len(results.configuration(label).seeds) for label in labels), default=None)
    if fewest is not None and fewest < lesson.num_seeds:
        raise SystemExit(f"{folder} holds {fewest} of {lesson.num_seeds} seeds; type: convline reproduce {lesson.name}")


def store(lesson: Lesson, folder: Path) -> None:
    """Copy a lesson's results and figures into the repository."""
    STORED_RESULTS.mkdir(exist_ok=True)
    shutil.copy(folder / RESULTS_FILE, STORED_RESULTS / f"{lesson.name}.json")
    for name in lesson.figures:
        shutil.copy(folder / f"{name}.png", STORED_RESULTS / f"{name}.png")


def document() -> str:
    """Write the text of docs/reproduction.md from the stored results."""
    parts = [INTRODUCTION.format(comparisons=_comparisons())]
    for lesson in LESSONS.values():
        results = load_stored(lesson.name)
        if results.environment or not lesson.sweeps:
            text = page.lesson_markdown(lesson, results, "reproduction/")
            parts.append(f"## {lesson.name}: {lesson.title}\n\n{text}")
    return "\n".join(parts)


def _comparisons() -> str:
    """Say how many differences the page tests, and how many of them are left if their number is taken into account."""
    findings = [f for lesson in LESSONS.values() for f in check_all(lesson.claims(), load_stored(lesson.name))]
    p_values = [finding.p for finding in findings if finding.p is not None]
    alone, together = (sum(p < 0.05 for p in values) for values in (p_values, holm(p_values)))
    return (
        f"The page tests {len(p_values)} differences at 5 % each, of which {len(p_values) / 20:.1f} would seem real "
        f"if none were; {alone} have p < 0.05, and {together}\nafter Holm's correction for all of them. "
        "A verdict names the correction for its own lesson where that changes it."
    )


def experiments_with_headers() -> dict[Path, str]:
    """Write the text of every experiment of a lesson, with its command and its measured accuracies as comments."""
    headers: dict[Path, list[str]] = {}
    for lesson in LESSONS.values():
        results = load_stored(lesson.name)
        for sweep in lesson.sweeps:
            configurations = [
                results.configurations[label] for label in sweep.labels if label in results.configurations
            ]
            if not configurations:
                continue
            made = results.environment
            headers.setdefault(EXPERIMENTS / f"{sweep.experiment}.yaml", []).extend(
                [
                    f"# Measured by: {shlex.join(['python', 'train.py', *sweep.arguments(results.num_seeds)])}",
                    f"# Test accuracy on {made['processor']}, torch {made['torch']}, {made['date']}:",
                    *(
                        f"#   {each.label}: {mean_and_spread('test/acc', each.sample('test/acc'))} %"
                        for each in configurations
                    ),
                ]
            )
    return {path: with_header(path.read_text(), lines) for path, lines in headers.items()}


def with_header(text: str, lines: list[str]) -> str:
    """Replace the measured results in an experiment's first comment."""
    text = re.sub(r"^# (Measured|Test accuracy).*\n(#   .*\n)*", "", text, flags=re.MULTILINE)
    comment = re.match(r"(#.*\n)+", text)
    assert comment is not None, "an experiment begins with a comment"
    return text[: comment.end()] + "\n".join(lines) + "\n" + text[comment.end() :]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/reproduce"))
