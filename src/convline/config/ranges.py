"""Declare a setting's range beside its type, and find the ranges of a composed config."""

import math
from collections.abc import Callable, Mapping
from dataclasses import field, fields, is_dataclass
from typing import Any, NamedTuple

from omegaconf import MISSING, DictConfig, OmegaConf

MAX_COUNT = 10**9  # of anything that a run counts: no machine has more images, batches or epochs


class Range(NamedTuple):
    """Hold the values that a setting may have."""

    test: Callable[[Any], bool]  # whether a value, which is not None, lies in the range; a TypeError means no
    expected: str  # completes "it must be …"
    takes_null: bool = True  # whether null is left to the setting's type

    def holds(self, value: Any) -> bool:
        """Return whether a value lies in the range; one that cannot be compared, such as a text, does not."""
        try:
            return bool(self.test(value))
        except TypeError:
            return False


def count(low: int, high: int = MAX_COUNT) -> Range:
    """Return the range of whole numbers from `low` to `high`; true and false are none."""
    expected = f"a whole number, at least {low:,} and at most {high:,}"
    return Range(lambda value: type(value) is int and low <= value <= high, expected)


def above(low: float) -> Range:
    """Return the range of finite numbers above `low`."""
    return Range(lambda value: low < value < math.inf, f"above {low:g} and finite")


def between(low: float, high: float) -> Range:
    """Return the range of numbers from `low` to `high`."""
    return Range(lambda value: low <= value <= high, f"from {low:g} to {high:,g}")


def at_least(low: float) -> Range:
    """Return the range of finite numbers from `low`."""
    return Range(lambda value: low <= value < math.inf, f"at least {low:g} and finite")


def one_of(*options: str) -> Range:
    """Return the range of these words."""
    return Range(lambda value: isinstance(value, str) and value in options, "one of " + ", ".join(options))


def some_of(*options: str) -> Range:
    """Return the range of lists of these words."""
    return Range(lambda value: set(value) <= set(options), "a list of some of " + ", ".join(options), False)


FRACTION = Range(lambda value: 0 <= value < 1, "at least 0 and below 1")
OPEN_FRACTION = Range(lambda value: 0 < value < 1, "above 0 and below 1")
SHARE = Range(lambda value: 0 < value <= 1, "above 0 and at most 1")
BETAS = Range(lambda value: len(value) == 2 and all(0 <= beta < 1 for beta in value), "two numbers in [0, 1)")
SEED = Range(lambda value: type(value) is int and 0 <= value < 2**32, "a whole number from 0 to 4294967295")


def within(allowed: Range, default: Any = MISSING) -> Any:
    """Declare a field of a schema whose value lies in a range: `lr: float = within(above(0))`.

    A field with a default may be taken out of the config.
    """
    return field(default=default, metadata={"range": allowed})


def any_with(**ranges: Range) -> Any:
    """Declare a field that holds a node of any type, and the ranges of those of its settings that have one."""
    return field(default=MISSING, metadata={"ranges": ranges})


def shipped_with(**ranges: Range) -> Any:
    """Declare such a field whose ranges are those of Convline's own targets: those of a user may have others."""
    return field(default=MISSING, metadata={"ranges": ranges, "of": "convline."})


def declared_ranges(schema: type) -> dict[str, Range]:
    """Return the ranges of the fields of a schema."""
    return {f.name: f.metadata["range"] for f in fields(schema) if "range" in f.metadata}


def ranges_of(cfg: DictConfig, prefix: str = "") -> dict[str, Range]:
    """Find the ranges of all settings of a config, by their dotted keys, in the schemas that it was merged into."""
    found: dict[str, Range] = {}
    schema = OmegaConf.get_type(cfg)
    declared = {f.name: f.metadata for f in fields(schema)} if is_dataclass(schema) else {}
    for key in cfg:  # a number in a foreign node such as {0: 2}
        name = str(key)
        metadata: Mapping[str, Any] = declared.get(name, {})
        if "range" in metadata:
            found[f"{prefix}{name}"] = metadata["range"]
        # private: OmegaConf 2.3 has no public way to see a node without resolving it
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and OmegaConf.is_dict(node) and not (node._is_none() or node._is_missing()):
            ranges = metadata.get("ranges", {})
            if ranges and not str(node.get("_target_", "")).startswith(metadata.get("of", "")):
                ranges = {}
            inner = {key: allowed for key, allowed in ranges.items() if key in set(node)}
            found |= {f"{prefix}{name}.{key}": allowed for key, allowed in inner.items()}
            found |= ranges_of(node, f"{prefix}{name}.")
    return found
