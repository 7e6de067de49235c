"""Find the config groups and their options in `conf/`."""

import functools
from pathlib import Path

_INSTALLED = Path(__file__).parents[1] / "conf"  # an installed package holds the folder; a checkout has it at its top
CONF_DIR = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[3] / "conf"
INNER_GROUPS = ("data/augment", "sweep/sampler", "sweep/pruner")  # groups whose folder lies in that of another group


@functools.cache
def groups() -> dict[str, list[str]]:
    """Return the options of each config group: the files of its folder; a name such as `_common` is no option."""
    found: dict[str, list[str]] = {}
    for file in sorted(CONF_DIR.glob("*/**/*.yaml")):
        place = file.relative_to(CONF_DIR).with_suffix("")
        group = next((inner for inner in INNER_GROUPS if str(place).startswith(f"{inner}/")), place.parts[0])
        if place.parts[0] != "hydra" and not place.name.startswith("_"):
            found.setdefault(group, []).append(str(place.relative_to(group)))
    return dict(sorted(found.items()))
