"""log.txt: what a job of a sweep said, as it stood on the terminal."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO, Any, TextIO

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours, and moves of the cursor


class Tee:
    """Writes to a stream and, line by line, to a log; a line that a progress bar draws again and again is left out.

    Args:
        stream: the terminal, or what stands in its place.
        log: the open file.
    """

    def __init__(self, stream: TextIO, log: IO[str]) -> None:
        self._stream, self._log, self._line = stream, log, ""

    def write(self, text: str) -> int:
        """Write to both."""
        for part in re.split(r"([\r\n])", CONTROL.sub("", text)):
            if part == "\n":
                self._log.write(f"{self._line.rstrip()}\n")
                self._log.flush()  # a process that is killed writes nothing more
            self._line = "" if part in ("\r", "\n") else self._line + part
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def logged(path: Path) -> Iterator[IO[str]]:
    """Append what Python writes to stdout and stderr in the block to a file, too; yields the open file."""
    with (
        open(path, "a") as log,
        redirect_stdout(Tee(sys.stdout, log)),
        redirect_stderr(Tee(sys.stderr, log)),
    ):
        yield log


@contextmanager
def logged_only(path: Path) -> Iterator[IO[str]]:
    """Append all that this process and its children write in the block to a file instead; yields the open file."""
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    with open(path, "a", buffering=1) as log:
        try:
            for descriptor in kept:
                os.dup2(log.fileno(), descriptor)
            yield log
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in kept.items():
                os.dup2(copy, descriptor)
                os.close(copy)
