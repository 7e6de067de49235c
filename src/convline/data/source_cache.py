"""What the jobs of one process have in common: a training set is read, checked and hashed once for all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from convline.data.sources import Images

_kept: dict[str, Images] | None = None


@contextmanager
def sharing() -> Iterator[None]:
    """Within this block a shared source keeps what it read last: one training set, so that memory does not grow."""
    global _kept
    before, _kept = _kept, {} if _kept is None else _kept
    try:
        yield
    finally:
        _kept = before


def shared_source(source: Callable[..., Images], key: str) -> Callable[..., Images]:
    """A source that reads its training set anew only if another one was read since.

    The test set is not kept: it is looked at once a run.

    Args:
        source: called with the part last.
        key: says all that the source depends on.
    """

    def read(*place_and_part: Any) -> Images:
        if _kept is None or place_and_part[-1] != "train":
            return source(*place_and_part)
        if key not in _kept:
            _kept.clear()
            images = source(*place_and_part)
            _kept[key] = replace(images, known_fingerprint=images.fingerprint())
        return _kept[key]

    return read
