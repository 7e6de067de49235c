"""Augmentations may be typed plainly, `data.augment=[flip,crop(4)]`: to Hydra's grammar `crop(4)` is a function call.

So such elements are put in quotes before Hydra reads the words. Its own functions stay, and what is quoted already.
"""

import re
from collections.abc import Sequence

_KEY = re.compile(r"\+{0,2}data\.augment=")
_SWEEP = re.compile(r"(choice|shuffle|tag)\s*\(")  # Hydra's functions over values, which may themselves need quotes


def quote_units(words: Sequence[str]) -> list[str]:
    """The words of a command line, with quotes around those elements of `data.augment` that need them.

    `data.augment=[flip,crop(4)],[flip]` becomes `data.augment=[flip,"crop(4)"],[flip]`. Other words stay as they are,
    and so do those whose brackets or quotes do not match: Hydra complains about them.
    """
    return [_quoted_word(word) for word in words]


def _quoted_word(word: str) -> str:
    match = _KEY.match(word)
    if match is None:
        return word
    quoted = _quoted(word[match.end() :])
    return word if quoted is None else match.group() + quoted


def _quoted(value: str) -> str | None:
    """A value with its elements quoted; None if brackets or quotes do not match."""
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
    """At the commas outside of brackets and quotes."""
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
