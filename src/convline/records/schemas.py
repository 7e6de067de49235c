"""Declare what the JSON files of a run and of a sweep hold.

A key that a schema does not name is kept and read by nobody; all but `REQUIRED` may be missing, since older versions
wrote fewer.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from convline.config.ranges import Range

STATUSES = ("waiting", "running", "finished", "failed", "interrupted", "pruned")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number_or_none(value: Any) -> bool:
    return value is None or _is_number(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _mapping_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(isinstance(k, str) and holds(v) for k, v in value.items())


def _list_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(holds, value))


def is_plain_name(value: Any) -> bool:
    """Return whether a value names a file or folder within another one, and none outside of it."""
    return isinstance(value, str) and value not in ("", ".", "..") and not {"/", "\\", "\0"} & set(value)


def _is_job(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and is_plain_name(value.get("directory"))
        and _list_of(_is_text)(value.get("overrides"))
        and _is_text(value.get("identity"))
        and _is_text(value.get("recipe"))
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


TEXT = Range(_is_text, "a text")
TEXT_OR_NONE = Range(lambda value: value is None or isinstance(value, str), "a text or null")
TEXTS = Range(_list_of(_is_text), "a list of texts")
COUNT = Range(lambda value: _is_whole(value) and value >= 0, "a whole number from 0")
COUNT_OR_NONE = Range(lambda value: value is None or (_is_whole(value) and value >= 0), "a whole number from 0 or null")
SECONDS = Range(lambda value: _is_number(value) and 0 <= value < math.inf, "a number of seconds")
MAPPING = Range(lambda value: isinstance(value, dict), "a mapping")
NUMBERS = Range(_mapping_of(_is_number), "a mapping of names to numbers")
COUNTS = Range(_mapping_of(lambda value: _is_whole(value) and value > 0), "a mapping of names to whole numbers above 0")
NAMES = Range(_mapping_of(_is_text), "a mapping of names to texts")
CLASS_ACCURACY = Range(
    lambda value: _mapping_of(_mapping_of(_is_number_or_none))(value) and "val" in value,
    "a mapping of val and test to the accuracy of each class, null without images",
)

Schema = Mapping[str, Range]

SUMMARY: Schema = {
    "status": Range(lambda value: value in STATUSES, f"one of {', '.join(STATUSES)}"),
    "seconds": SECONDS,
    "metrics": NUMBERS,
    "num_images": COUNTS,  # of val and test, where each image is either correct or incorrect
    "choices": NAMES,
    "error": TEXT_OR_NONE,
    "best_epoch": COUNT_OR_NONE,
    "class_accuracy": CLASS_ACCURACY,
    "identity": TEXT,
    "key": TEXT,
    "launch": TEXT_OR_NONE,
    "started": TEXT,
    "parameters": COUNT,
    "macs": COUNT,
    "pid": COUNT,
    "swept": TEXTS,
    "confirms": Range(lambda value: isinstance(value, bool), "true or false"),
    "code_folders": TEXTS,
    "changed_code": TEXTS,
    "ranks": Range(_list_of(lambda value: _is_whole(value) and value > 0), "a list of numbers of ranks"),
    "trackers": NAMES,
}
ENVIRONMENT: Schema = {
    "command": TEXTS,
    "started": TEXT,
    "code": MAPPING,
    "packages": NAMES,
    "python": TEXT,
    "hardware": MAPPING,
    "data_fingerprint": TEXT,
    "options": MAPPING,
    "split": MAPPING,
}
SWEEP: Schema = {
    "command": TEXTS,
    "words": TEXTS,
    "search": TEXT,
    "created": Range(lambda value: _is_number(value) and math.isfinite(value), "a number of seconds"),
    "jobs": Range(_list_of(_is_job), "a list of jobs, each with directory, overrides, identity and recipe"),
}
HEARTBEAT: Schema = {
    "host": TEXT,
    "pid": Range(lambda value: _is_whole(value) and 0 < value < 2**31, "the number of a process"),
}
SCHEMAS: dict[str, Schema] = {
    "summary.json": SUMMARY,
    "environment.json": ENVIRONMENT,
    "sweep.json": SWEEP,
    "heartbeat": HEARTBEAT,
    "importance.json": {},
    "other_folders.json": {"trials": Range(_list_of(MAPPING.holds), "a list of trials")},
}
REQUIRED = {
    "summary.json": ("status",),
    "environment.json": ("data_fingerprint",),
    "heartbeat": ("host", "pid"),
}


def complaints(content: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield what of a file's content is missing, or of another type or range than its schema says.

    Args:
        content: what the file holds.
        name: name of the file.
    """
    schema = SCHEMAS.get(name, {})
    for key in REQUIRED.get(name, ()):
        if key not in content:
            yield f"it holds no {key}"
    for key, allowed in schema.items():
        if key in content and not allowed.holds(content[key]):
            yield f"{key} must be {allowed.expected}"
