"""Cache the last training set within a process, so that its jobs read, check and hash it once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from convline.data.sources import Images

_cache: dict[str, Images] | None = None


@contextmanager
def cache_sources() -> Iterator[None]:
    """Cache the last training set of cached sources within this block; only one, so that memory does not grow."""
    global _cache
    outer_cache, _cache = _cache, {} if _cache is None else _cache
    try:
        yield
    finally:
        _cache = outer_cache


def cached_source(source: Callable[..., Images], key: str) -> Callable[..., Images]:
    """Wrap a source so that it reads its training set again only if another one was read since.

    The test set is not cached: a run reads it only for its checks and once for the evaluation.

    Args:
        source: called with the name of the official split last.
        key: a text that identifies all settings of the source.
    """

    def read(*root_and_split: Any) -> Images:
        if _cache is None or root_and_split[-1] != "train":
            return source(*root_and_split)
        if key not in _cache:
            _cache.clear()
            images = source(*root_and_split)
            _cache[key] = replace(images, known_fingerprint=images.fingerprint())
        return _cache[key]

    return read
