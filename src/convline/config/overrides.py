"""Read overrides of the command line: parse them, expand the lists of a sweep, quote what Hydra's grammar needs."""

import functools
import itertools
import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString, RangeSweep
from hydra.errors import HydraException, OverrideParseException

from convline.config.options import groups
from convline.errors import UserError
from convline.formatting import resume_command, shortened

_KEY = re.compile(r"\+{0,2}data\.augment=")
_PLAIN_KEY = re.compile(r"\+{0,2}[\w./@-]+")
_SWEEP = re.compile(r"(choice|shuffle|tag)\s*\(")  # Hydra's functions over values, which may themselves need quotes


MAX_JOBS = 100_000  # of a sweep: each takes a folder, and seconds at least
_BESIDE_RESUME = ("resume=", "debug=", "trainer.devices=", "data.root=")
AUTO = "resume=auto"  # goes on with the newest run of the same settings, code and data, or begins one


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parse the overrides of a command line.

    Raises:
        UserError: a word is no override.
    """
    return [_parse_override(word) for word in overrides]


@functools.lru_cache(4096)
def _parse_override(word: str) -> Override:
    try:
        override = OverridesParser.create().parse_overrides([word])[0]
    # a ValueError is Python's, of a number of 5,000 digits; a RecursionError comes of brackets within brackets
    except (HydraException, ValueError, RecursionError) as error:
        raise UserError(_unparsable(word)) from error
    _check_range(override)
    return override


def _check_range(override: Override) -> None:
    """Refuse a range that nobody could list, before anybody does."""
    content = override.value() if override.is_range_sweep() else None
    if isinstance(content, RangeSweep):
        try:
            count = abs(((content.stop or 0) - (content.start or 0)) / content.step)
        except (ZeroDivisionError, OverflowError):
            count = math.inf
        if not count <= MAX_JOBS:
            raise UserError(
                f"{shortened(override.input_line or '', 200)} does not end, or has too many values: "
                f"a sweep has at most {MAX_JOBS:,} jobs."
            )


def _unparsable(word: str) -> str:
    """Say how a word that Hydra cannot parse is written."""
    key, equals, value = word.partition("=")
    if not equals or not _PLAIN_KEY.fullmatch(key) or len(value) > 200:
        return (
            f"'{shortened(word, 200)}' is not a setting.\n"
            "  Settings are written key=value. Quote a list once ('key=[1,2]'), text with brackets or blanks twice:\n"
            "  'model.pattern=\"CONV(8) -> FC\"'"
        )
    text = shlex.quote(f"{key}={QuotedString(value, Quote.double).with_quotes()}")
    return (
        f"the value of '{shortened(word, 200)}' cannot be read: commas separate values, brackets make a list or call "
        f"a function, and quotes, brackets and braces come in pairs.\n  If it is one text, quote it twice: {text}"
    )


def expand_sweep(overrides: Sequence[str]) -> list[list[str]]:
    """List the single configurations of `-m OVERRIDES`; the last list varies fastest, which is Hydra's order.

    `["a=1,2", "b=3"]` gives `[["a=1", "b=3"], ["a=2", "b=3"]]`; `range`, `choice` and `glob` are expanded too.

    Raises:
        UserError: a word is no override, or it is a sweep without a list of values.
    """
    alternatives = []
    for override in parse_overrides(overrides):
        if override.is_sweep_override():
            alternatives.append([f"{override.get_key_element()}={value}" for value in sweep_values(override)])
        else:
            alternatives.append([override.input_line or ""])
    if (num_jobs := math.prod(map(len, alternatives))) > MAX_JOBS:
        raise UserError(f"these are {num_jobs:,} combinations, but a sweep has at most {MAX_JOBS:,} jobs.")
    return [list(combination) for combination in itertools.product(*alternatives)]


def without_effect(overrides: Sequence[str]) -> list[str]:
    """Return a notice for each setting that is on a command line twice, of which the last one counts."""
    last: dict[str, str] = {}
    notices = []
    for override in parse_overrides(overrides):
        key, word = override.get_key_element(), override.input_line or ""
        if last.get(key, word) != word:
            notices.append(f"{shortened(last[key], 80)} has no effect: {shortened(word, 80)} comes after it")
        last[key] = word
    return notices


def sweep_values(override: Override) -> list[str]:
    """List the values of one swept setting in the syntax of the command line.

    Raises:
        UserError: its values cannot be listed.
    """
    word, content = override.input_line, override.value()
    if isinstance(content, Glob):
        options = [option for option in groups().get(override.key_or_group, []) if "/" not in option]
        values = content.filter(options)
    elif override.is_interval_sweep():
        raise UserError(
            f"{word} is no list of values.\n  Type one, such as {override.key_or_group}=0.1,0.01, "
            "or search the interval: hydra/sweeper=search"
        )
    else:
        try:
            values = [_typed(override, text) for text in override.sweep_string_iterator()]
        # of a range whose step is 0, or whose end is infinite
        except (HydraException, ValueError, OverflowError) as error:
            raise UserError(f"{word}: {error}") from error
    if not values:
        raise UserError(f"{word} stands for no value at all.")
    return values


def _typed(override: Override, text: str) -> str:
    """Quote a value again where Hydra's text of `choice("CONV(8) -> FC")` has lost the quotes that its parser needs."""
    try:
        _parse_override(f"{override.get_key_element()}={text}")
    except UserError:
        plain = re.sub(r"\\(.)", r"\1", text)  # Hydra has escaped it, which does not help every character
        return QuotedString(plain, Quote.single).with_quotes()
    return text


def quote_texts(overrides: Sequence[str]) -> list[str]:
    """Put quotes around a value that Hydra's grammar cannot read, and that can only be one text.

    Such are letters beyond ASCII, `#`, `~` and a second `=`: `data.root=Müller` becomes `data.root='Müller'`. A value
    with a comma, a quote or a bracket stays the same: it may be a misspelt list, sweep or function.
    """
    return [_quoted_text(word) for word in overrides]


def _quoted_text(word: str) -> str:
    key, equals, value = word.partition("=")
    if not equals or not value or not _PLAIN_KEY.fullmatch(key) or key == "resume" or set(value) & set(",'\"[](){}$\\"):
        return word
    try:
        OverridesParser.create().parse_overrides([word])
    except OverrideParseException:
        return f"{key}={QuotedString(value, Quote.single).with_quotes()}"
    except (HydraException, ValueError, RecursionError):  # such as a number of 5,000 digits: `parse_overrides` says so
        return word
    return word


def quote_units(overrides: Sequence[str]) -> list[str]:
    """Put quotes around augmentations with arguments, because `crop(4)` is a function call in Hydra's grammar.

    `data.augment=[flip,crop(4)],[flip]` becomes `data.augment=[flip,"crop(4)"],[flip]`. Hydra's own functions, quoted
    elements stay the same, and so do overrides with unmatched brackets or quotes, which Hydra refuses.
    """
    return [_quoted_word(word) for word in overrides]


def _quoted_word(word: str) -> str:
    match = _KEY.match(word)
    if match is None:
        return word
    quoted = _quoted(word[match.end() :])
    return word if quoted is None else match.group() + quoted


def _quoted(value: str) -> str | None:
    """Quote the elements of a value; return None if brackets or quotes do not match."""
    elements = _split(value)
    if elements is None:
        return None
    parts = [_element(element) for element in elements]
    return None if None in parts else ",".join(part for part in parts if part is not None)


def _element(text: str) -> str | None:
    before, inner, after = _trimmed(text)
    if inner.startswith("[") and inner.endswith("]"):
        within = _quoted(inner[1:-1])
        return None if within is None else f"{before}[{within}]{after}"
    sweep = _SWEEP.match(inner)
    if sweep and inner.endswith(")"):
        within = _quoted(inner[sweep.end() : -1])
        return None if within is None else f"{before}{sweep.group()}{within}){after}"
    if inner.startswith(("'", '"')) or not ("(" in inner or "->" in inner):
        return text
    return f'{before}"{inner}"{after}' if not set(inner) & set("\"'\\") else text


def _trimmed(text: str) -> tuple[str, str, str]:
    inner = text.strip()
    start = text.index(inner)
    return text[:start], inner, text[start + len(inner) :]


def _split(value: str) -> list[str] | None:
    """Split at the commas outside of brackets and quotes; return None if these do not match."""
    parts, open_brackets, quote = [""], [], ""
    for index, char in enumerate(value):
        if quote:
            quote = "" if char == quote and value[index - 1] != "\\" else quote
        elif char in "\"'":
            quote = char
        elif char in "([":
            open_brackets.append(char)
        elif char in ")]":
            if not open_brackets or open_brackets.pop() != {")": "(", "]": "["}[char]:
                return None
        elif char == "," and not open_brackets:
            parts.append("")
            continue
        parts[-1] += char
    return None if quote or open_brackets else parts


class ResumedRun(NamedTuple):
    """Hold what `resume=RUN_DIR` names: the run directory, and what may have changed since the run began."""

    run_dir: Path
    devices: int | None = None  # number of devices
    data_root: str | None = None  # folder in which its data lie now


def resumed_run(words: Sequence[str]) -> ResumedRun | None:
    """Return the run directory that a word `resume=RUN_DIR` of a command names, and the settings that it allows beside.

    None if there is no such word; `resume=auto` names no directory either.

    Raises:
        UserError: there are other settings beside it, which would have no effect.
    """
    given = [word for word in words if word.startswith("resume=") and word != AUTO]
    if not given:
        return None
    run_dir = Path(given[0].removeprefix("resume=").strip("'\"")).expanduser()
    devices = [word.partition("=")[2] for word in words if word.startswith("trainer.devices=")]
    data_root = moved_data_root([word for word in words if word.startswith("data.root=")])
    if devices and not re.fullmatch(r"[1-9][0-9]{0,4}", devices[-1]):
        raise UserError(f"trainer.devices={shortened(devices[-1])} is no number of devices.")
    if others := [word for word in words if not word.startswith(_BESIDE_RESUME)]:
        raise UserError(
            f"resume={run_dir} goes on with that run's own settings, so {' '.join(others)} would have no effect.\n"
            f"  Type: {resume_command(run_dir)}"
        )
    return ResumedRun(run_dir, int(devices[-1]) if devices else None, data_root)


def moved_data_root(settings: Sequence[str]) -> str | None:
    """Return the absolute path of FOLDER in `data.root=FOLDER`, where the data of a finished run lie now; None without.

    Raises:
        UserError: there is another setting, which would have no effect, or no such folder.
    """
    for setting in settings:
        key, _, value = setting.partition("=")
        if key != "data.root":
            raise UserError(
                f"{setting} would have no effect: a run keeps its own settings.\n"
                "  Only data.root=FOLDER says where its data lie now"
            )
        root = Path(value.strip("'\"")).expanduser().absolute()
        if not value or not root.is_dir():
            raise UserError(f"data.root={value}: there is no such folder.\n  Type the one in which the data lie now")
    return str(root) if settings else None
