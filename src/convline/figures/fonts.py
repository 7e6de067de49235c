"""Find fonts for the names of classes: in figures, a letter that no font has would be an empty box.

matplotlib's own font, DejaVu Sans, has Latin, Greek and Cyrillic letters. For others, such as Chinese ones, the
installed fonts are searched; a class whose name none of them can write is shown by its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

BOXES = ("Last Resort", "Noto Color Emoji")  # fonts that have every character as a box, or that matplotlib cannot draw
MAX_LISTED = 20  # classes in the notice


def families(text: str) -> list[str]:
    """Return the font families that write a text: matplotlib's own, and one for each character that it lacks."""
    extra = (_family_with(char) for char in dict.fromkeys(text) if ord(char) not in _own_characters())
    return list(dict.fromkeys(["sans-serif", *filter(None, extra)]))


def drawable_names(classes: Sequence[str]) -> list[str]:
    """Return the names of classes as figures can write them: a name that no installed font can write is a number.

    The numbers are explained by a line on the terminal, once.
    """
    lacking = {index: name for index, name in enumerate(classes) if not _is_drawable(name)}
    if lacking:
        _explain(tuple(lacking.items()))
    return [str(index) if index in lacking else name for index, name in enumerate(classes)]


def _is_drawable(name: str) -> bool:
    return all(ord(char) in _own_characters() or _family_with(char) for char in name)


@cache
def _explain(lacking: tuple[tuple[int, str], ...]) -> None:
    listed = ", ".join(f"{index}: {name}" for index, name in lacking[:MAX_LISTED])
    more = f" and {len(lacking) - MAX_LISTED} more" if len(lacking) > MAX_LISTED else ""
    print(
        f"no installed font can write some class names, so figures show their numbers: {listed}{more}\n"
        "  Install a font that has them, such as Noto Sans CJK, and draw again: convline figures RUN_DIR",
        flush=True,
    )


@cache
def _own_characters() -> frozenset[int]:
    """Return the code points of matplotlib's own font."""
    from matplotlib.font_manager import FontProperties, findfont

    return _characters(findfont(FontProperties()))


@cache
def _family_with(char: str) -> str | None:
    """Return the family of an installed font that has a character; None if there is none."""
    from matplotlib.font_manager import fontManager

    for font in sorted(fontManager.ttflist, key=lambda font: (font.style != "normal", font.name)):
        if not font.name.startswith(BOXES) and ord(char) in _characters(font.fname):
            return font.name
    return None


@cache
def _characters(path: str) -> frozenset[int]:
    """Return the code points of a font file; none if it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError, ValueError):  # damaged, or a format that is not read, such as colored emojis
        return frozenset()
