"""Write the page of a lesson as Markdown with figures, and as one HTML file that contains the figures."""

from __future__ import annotations

import base64
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from convline.formatting import count_text, duration
from convline.lessons.claims import Finding, check_all
from convline.lessons.hyperparameter_table import HEADER, hyperparameter_rows
from convline.lessons.lesson import Lesson
from convline.lessons.results import ConfigurationResults, Results
from convline.reporting.metric_text import mean_and_spread

TEMPLATE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,"><title>{{ title }}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 75em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 }
td, th { border: 1px solid #e5e7eb; padding: .3em .6em; text-align: left }
th { background: #f3f4f6 }
img { max-width: 100% }
code { background: #f3f4f6; padding: 0 .2em }
</style></head>
<body>
{{ body }}
</body></html>
"""
NUM_COLORS = 128  # of a figure's PNG file; more would enlarge the file without a visible difference


def write_page(lesson: Lesson, results: Results, folder: Path, first_runs: Mapping[str, Path]) -> None:
    """Write page.md, page.html and the figures into a lesson's folder.

    Args:
        lesson, results: the lesson and the results of its runs.
        folder: folder of the lesson.
        first_runs: run directory of the first seed, for each label.
    """
    for name in lesson.figures:
        save_figure(folder / f"{name}.png", lesson, results, first_runs, name)
    text = f"# {lesson.title}\n\n{lesson_markdown(lesson, results, '')}"
    (folder / "page.md").write_text(text)
    (folder / "page.html").write_text(render_html(lesson.title, text, folder))


def save_figure(path: Path, lesson: Lesson, results: Results, first_runs: Mapping[str, Path], name: str) -> None:
    """Draw a figure of a lesson and save it as a PNG file with a palette."""
    from PIL import Image  # imported late because importing is slow, as the functions that draw

    from convline.figures.canvas import png

    _, draw = lesson.figures[name]
    image = Image.open(io.BytesIO(png(draw(results, first_runs)))).convert("RGB")
    image.quantize(NUM_COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


def lesson_markdown(lesson: Lesson, results: Results, figures_folder: str) -> str:
    """Write the section of a lesson in Markdown, without its title.

    Args:
        lesson, results: the lesson and the results of its runs.
        figures_folder: prefix of the figures' file names, such as "figures/"; the files need not exist.
    """
    parts = [lesson.description, commands_block(lesson, results)]
    if results.has_other_settings:
        parts.append(f"**Other settings than the lesson's: `{' '.join(results.overrides)}`.**")
    parts.append(findings_table(check_all(lesson.claims(), results)))
    for name, (caption, _) in lesson.figures.items():
        parts.append(f"![{caption}]({figures_folder}{name}.png)\n\n*{caption}*")
    if results.configurations:
        parts.append(configurations_table(list(results.configurations.values())))
    if lesson.sweeps:
        parts.append("**Hyperparameters.**" + f" {lesson.choices}" * bool(lesson.choices))
        parts.append(markdown_table(HEADER, hyperparameter_rows(lesson.sweeps, results.overrides)))
    if results.environment and results.configurations:
        environment = results.environment
        parts.append(
            f"Measured on {environment['date']} with torch {environment['torch']} on {environment['processor']}."
        )
    return "\n\n".join(parts) + "\n"


def commands_block(lesson: Lesson, results: Results) -> str:
    """Write the commands that produce these results as a Markdown code block."""
    num_seeds = results.num_seeds or lesson.num_seeds
    overrides = list(results.overrides) if results.has_other_settings else []
    options = ["--seeds", str(num_seeds)] if num_seeds != lesson.num_seeds and lesson.sweeps else []
    lines = [shlex.join(["convline", "reproduce", lesson.name, *options, *overrides])]
    for sweep in lesson.sweeps:
        lines.append(shlex.join(["python", "train.py", *sweep.arguments(num_seeds), *overrides]))
    return "```\n" + "\n".join(lines) + "\n```"


def findings_table(findings: Sequence[Finding]) -> str:
    """Write claims, published and reproduced values, and verdicts as a Markdown table."""
    rows = [(finding.claim, finding.published, finding.reproduced, finding.verdict) for finding in findings]
    return markdown_table(("claim", "published", "reproduced", "verdict"), rows)


def configurations_table(configurations: Sequence[ConfigurationResults]) -> str:
    """Write size, time and accuracy of every configuration as a Markdown table."""
    header = (
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
    rows = []
    for configuration in configurations:
        low, high = configuration.sample("test/acc").interval  # nan for one seed
        failures = f"; {configuration.num_failed} learned nothing" if configuration.num_failed else ""
        rows.append(
            (
                configuration.label,
                str(len(configuration.seeds)),
                count_text(configuration.num_parameters),
                count_text(configuration.macs),
                "" if configuration.receptive_field is None else str(configuration.receptive_field),
                duration(min(configuration.epoch_seconds, default=float("nan"))),
                mean_and_spread("val/acc", configuration.sample("val/acc")),
                "" if low != low else f"{100 * max(low, 0):.2f} to {100 * min(high, 1):.2f}",
                mean_and_spread("test/acc", configuration.sample("test/acc")) + failures,
            )
        )
    return markdown_table(header, rows)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def render_html(title: str, text: str, folder: Path) -> str:
    """Render Markdown as one HTML file that contains its figures.

    HTML in the text is shown as text and not interpreted: overrides and the name of the processor come from outside.

    Args:
        title: title of the page.
        text: Markdown.
        folder: folder of the figures that the text names.
    """
    from jinja2 import Environment  # imported late because importing is slow
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for child in (child for token in tokens for child in token.children or ()):
        if child.type == "image":
            content = base64.b64encode((folder / str(child.attrs["src"])).read_bytes()).decode()
            child.attrSet("src", f"data:image/png;base64,{content}")
        elif child.type == "text":
            # no-break spaces between numbers: the rows of a matrix are not broken across lines
            child.content = re.sub(r"(?<=\d) (?=-?\d)", "\N{NO-BREAK SPACE}", child.content)
    body = Markup(markdown.renderer.render(tokens, markdown.options, {}))
    return Environment(autoescape=True).from_string(TEMPLATE).render(title=title, body=body)
