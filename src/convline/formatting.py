"""Write shapes, counts, durations, settings and suggestions as text, the same wherever people read them."""

import difflib
import math
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "UNKNOWN", "count_text", "csv_text", "duration", "first_line", "flattened", "markdown_text", "nearest", "plural",
    "resume_command", "setting_text", "shape_text", "shortened", "train_command", "typed_command",
    "visible",
]  # fmt: skip

JOINERS = "\u200c\u200d"  # within Persian words and emojis
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # beginnings of formulas in spreadsheets
UNKNOWN = "–"  # stands for a number that nobody knows


def train_command() -> str:
    """Return the words that start a training, in the form in which this program was started."""
    return "convline train" if Path(sys.argv[0]).stem in ("convline", "__main__") else "python train.py"


def typed_command() -> list[str]:
    """Return the words that started this training, with its program, as they can be typed again."""
    program, *words = sys.argv
    if Path(program).stem not in ("convline", "__main__"):
        return [Path(sys.executable).name, program, *words]
    return ["convline", *words] if words[:1] in (["train"], ["compare"]) else ["convline", "train", *words]


def figures_command(run_dir: Path) -> str:
    """Return the command that draws the figures of a run."""
    return f"convline figures {shlex.quote(str(run_dir))}"


def resume_command(run_dir: Path) -> str:
    """Return what to type to continue a run: a command, or a line of Python in the kernel of a notebook."""
    if Path(sys.argv[0]).stem == "ipykernel_launcher":
        return f"convline.train({f'resume={run_dir}'!r})"
    return f"{train_command()} {shlex.quote(f'resume={run_dir}')}"


def shape_text(shape: Iterable[int]) -> str:
    """Write a shape: "1×28×28"."""
    return "×".join(map(str, shape))


def count_text(number: float) -> str:
    """Write parameters or multiply-accumulates: in full below a million, then with three digits and M, G or T."""
    if math.isnan(number):
        return UNKNOWN
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Write a time as people say it: "17.5 s", "3 min 20 s", "2 h 5 min"."""
    if math.isnan(seconds):
        return UNKNOWN
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def plural(number: int, singular: str, several: str = "") -> str:
    """Write a number and its noun: "1 run", "1,024 runs"."""
    return f"{number:,} {singular if number == 1 else several or singular + 's'}"


def setting_text(value: Any) -> str:
    """Write a setting's value: floats with four significant digits, `null` and `true` as in YAML, texts on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(map(setting_text, value))}]"
    return visible(" ".join(str(value).split()))


def flattened(node: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of a nested config with its dotted key; lists are values."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def visible(text: str) -> str:
    """Write characters that nobody sees as their codes: control characters, marks that reverse the direction of text,
    and bytes of a file's name that are not UTF-8. The two that join letters stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in JOINERS else ascii(c)[1:-1] for c in text)


def markdown_text(text: str) -> str:
    """Escape what Markdown would interpret in a text, HTML and links included; the result is one line."""
    return re.sub(r"([\\|<>*_`\[\]~#&!])", r"\\\1", visible(" ".join(text.split())))


def csv_text(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would compute as a formula; numbers stay numbers."""
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text.startswith(FORMULA) else text
    return text


def shortened(text: str, length: int = 40) -> str:
    """Cut a text in the middle, where long patterns differ least."""
    if len(text) <= length:
        return text
    num_kept = length - 1
    return f"{text[: num_kept - num_kept // 2]}…{text[-(num_kept // 2) :]}"


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Suggest the candidate nearest to a misspelt name: ` (did you mean 'lenet'?)`, or the empty string.

    A candidate that begins with all of `name` is nearer than any other.
    """
    candidates = sorted(candidates)
    longer = [candidate for candidate in candidates if name and candidate.startswith(name)]
    matches = longer or difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its type if it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
