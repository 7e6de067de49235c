"""A lesson's page: Markdown, the same as one HTML file that needs no network, and its figures."""

from __future__ import annotations

import base64
import html
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from convline.lessons import hyperparameter_table as settings
from convline.lessons.claims import Finding
from convline.lessons.lesson import Lesson
from convline.lessons.results import Arm, Results
from convline.reporting.metric_text import count, duration, folded

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;color:#1f2937;max-width:75em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #e5e7eb;padding:.3em .6em;text-align:left}"
    "th{background:#f3f4f6}img{max-width:100%}code{background:#f3f4f6;padding:0 .2em}"
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write(lesson: Lesson, results: Results, folder: Path, first_runs: Mapping[str, Path]) -> None:
    """Write page.md, page.html and the figures into a lesson's folder."""
    for name in lesson.figures:
        save_figure(folder / f"{name}.png", lesson, results, first_runs, name)
    text = f"# {lesson.title}\n\n{section(lesson, results, '')}"
    (folder / "page.md").write_text(text)
    (folder / "page.html").write_text(_html(lesson.title, text, folder))


def save_figure(path: Path, lesson: Lesson, results: Results, first_runs: Mapping[str, Path], name: str) -> None:
    """Draw one of a lesson's figures into a PNG file of few colours."""
    import io

    from PIL import Image

    from convline.figures.canvas import png

    _, draw = lesson.figures[name]
    picture = Image.open(io.BytesIO(png(draw(results, first_runs)))).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def section(lesson: Lesson, results: Results, pictures: str) -> str:
    """A lesson in Markdown, without its title.

    Args:
        lesson, results: of it.
        pictures: before the names of its figures, such as "pictures/"; those whose file is not there are the reader's
            matter.
    """
    parts = [lesson.about, commands(lesson, results)]
    if results.is_changed:
        parts.append(f"**Other settings than the lesson's: `{' '.join(results.words)}`.**")
    parts.append(findings_table([claim.check(results) for claim in lesson.claims()]))
    for name, (caption, _) in lesson.figures.items():
        parts.append(f"![{caption}]({pictures}{name}.png)\n\n*{caption}*")
    if results.arms:
        parts.append(arms_table(list(results.arms.values())))
    if lesson.studies:
        parts.append("**What was chosen.**" + f" {lesson.fidelity}" * bool(lesson.fidelity))
        parts.append(table(settings.HEAD, settings.rows(lesson.studies, results.words)))
    if results.made and results.arms:
        made = results.made
        parts.append(f"Measured on {made['date']} with torch {made['torch']} on {made['processor']}.")
    return "\n\n".join(parts) + "\n"


def commands(lesson: Lesson, results: Results) -> str:
    """What is typed to get these results."""
    seeds = results.num_seeds or lesson.seeds
    words = list(results.words) if results.is_changed else []
    more = ["--seeds", str(seeds)] if seeds != lesson.seeds and lesson.studies else []
    lines = [shlex.join(["convline", "reproduce", lesson.name, *more, *words])]
    lines.extend(shlex.join(["python", "train.py", *study.command(seeds), *words]) for study in lesson.studies)
    return "```\n" + "\n".join(lines) + "\n```"


def findings_table(findings: Sequence[Finding]) -> str:
    """Claim, published, reproduced, verdict."""
    rows = [(f.claim, f.published, f.reproduced, f.verdict) for f in findings]
    return table(("claim", "published", "reproduced", "verdict"), rows)


def arms_table(arms: Sequence[Arm]) -> str:
    """Every configuration with its figures."""
    rows = []
    for arm in arms:
        rows.append(
            (
                arm.label,
                str(len(arm.seeds)),
                count(arm.parameters),
                count(arm.macs),
                "" if arm.field is None else str(arm.field),
                duration(min(arm.seconds, default=float("nan"))),
                folded("val/acc", arm.sample("val/acc")),
                interval(arm),
                folded("test/acc", arm.sample("test/acc")) + _failures(arm),
            )
        )
    head = (
        "configuration",
        "seeds",
        "parameters",
        "mult-adds",
        "receptive field",
        "fastest epoch",
        "validation %",
        "95 % interval of the mean on test",
        "test %",
    )
    return table(head, rows)


def interval(arm: Arm, metric: str = "test/acc") -> str:
    """Such as "98.71 to 98.95"; empty for one seed."""
    low, high = arm.sample(metric).interval
    return "" if low != low else f"{100 * max(low, 0):.2f} to {100 * min(high, 1):.2f}"


def _failures(arm: Arm) -> str:
    return f"; {arm.num_failed} learned nothing" if arm.num_failed else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _html(title: str, text: str, folder: Path) -> str:
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark").enable("table").render(text)
    body = re.sub(r"(?<=\d) (?=-?\d)", "&nbsp;", body)  # rows of a matrix stay in one piece

    def inline(match: re.Match[str]) -> str:
        content = base64.b64encode((folder / match.group(1)).read_bytes()).decode()
        return f'src="data:image/png;base64,{content}"'

    body = re.sub(r'src="([\w-]+\.png)"', inline, body)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
