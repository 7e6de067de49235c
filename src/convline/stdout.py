"""Go on when the standard output cannot take a text: its reader has ended, as `head` does, or it lacks a character."""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class _Stdout:
    """Forward to the standard output; once its reader is gone, as after `| head`, discard the text and go on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, if somebody reads it."""
        with self._reader_may_be_gone():
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, if somebody reads it."""
        with self._reader_may_be_gone():
            self._stream.flush()

    @contextmanager
    def _reader_may_be_gone(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


PLAIN = {"×": "x", "–": "-", "—": "-", "─": "-", "…": "...", "±": "+-", "→": "->", "·": "|", "≥": ">=", "≤": "<="}


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Write a character that an encoding lacks in plain ones: × as x, others by their code (an error handler)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    plain = "".join(PLAIN.get(char) or char.encode("ascii", "backslashreplace").decode() for char in missing)
    return plain, error.end


codecs.register_error("convline", _replace)


@contextmanager
def output_survives() -> Iterator[None]:
    """Let the block go on if its output cannot be written: a training must not fail for that.

    The reader of the standard output may have ended, or a stream may not have a character: with PYTHONIOENCODING=ascii,
    or of a file's name that is not UTF-8.
    """
    for each in (sys.stdout, sys.stderr):
        if hasattr(each, "reconfigure") and each.errors == "strict":
            each.reconfigure(errors="convline")
    stream, sys.stdout = sys.stdout, _Stdout(sys.stdout)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = stream


def open_missing_streams() -> None:
    """Open the standard streams that the parent process has closed: files opened next would take their places."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the system gives the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))
