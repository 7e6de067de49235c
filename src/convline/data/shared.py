"""What the jobs of one process have in common: a data set is read, checked and split once for all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_kept: dict[str, Any] | None = None


@contextmanager
def sharing() -> Iterator[None]:
    """Within this block `shared` keeps the last thing that was made: one data set, so that memory does not grow."""
    global _kept
    before, _kept = _kept, {} if _kept is None else _kept
    try:
        yield
    finally:
        _kept = before


def shared(key: str, make: Callable[[], T]) -> T:
    """What was made under this key, if it is still kept; else it is made now.

    Args:
        key: says all that the result depends on.
        make: its result must not be changed by those who share it.
    """
    if _kept is None:
        return make()
    if key not in _kept:
        _kept.clear()
        _kept[key] = make()
    return _kept[key]
