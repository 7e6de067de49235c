"""Find the config groups and their options: those of Convline, and those in the user's own folders.

A folder of the user's own is named by `--config-dir DIR` or `hydra.searchpath=[DIR]`, or it is `conf` in the current
folder. The named ones are kept in an environment variable, so that they hold in every process that this one starts:
workers of a sweep, ranks, jobs of a cluster.
"""

import functools
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from convline.errors import UserError

_INSTALLED = Path(__file__).parents[1] / "conf"  # an installed package holds the folder; a checkout has it at its top
CONF_DIR = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[3] / "conf"
INNER_GROUPS = ("data/augment", "sweep/sampler", "sweep/pruner")  # groups whose folder lies in that of another group
VARIABLE = "CONVLINE_CONFIG_PATH"  # the user's named folders, separated as in PATH


def own_folders() -> list[Path]:
    """Return the user's own folders of options, in the order in which they are searched."""
    named = [Path(text) for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
    found = [Path.cwd() / "conf", *named]
    return [path for path in dict.fromkeys(found) if path.is_dir() and not path.samefile(CONF_DIR)]


def use_folders_of(arguments: Sequence[str]) -> None:
    """Take the user's folders from a command line, and make the packages beside them importable.

    Raises:
        UserError: a folder does not exist.
    """
    named = []
    for index, argument in enumerate(arguments):
        option, _, value = argument.partition("=")
        if option in ("--config-dir", "-cd"):
            named.append(_folder(value or "".join(arguments[index + 1 : index + 2])))
        elif option.lstrip("+") == "hydra.searchpath":
            try:
                entries: Any = OverridesParser.create().parse_overrides([argument])[0].value()
            except (HydraException, ValueError, RecursionError) as error:
                raise UserError(f"'{argument}' is no list of folders.\n  Type: 'hydra.searchpath=[DIR]'") from error
            named += [_folder(str(entry)) for entry in (entries if isinstance(entries, list) else [entries])]
    if named:
        before = os.environ.get(VARIABLE, "").split(os.pathsep)
        os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*map(str, named), *filter(None, before)]))
    make_importable(import_folders())


def import_folders() -> list[Path]:
    """Return the folders whose modules a `_target_` may name: the current one, and those that hold a folder of options.

    A package that lies next to `conf` thus needs no installation.
    """
    return list(dict.fromkeys([Path.cwd(), *(path.parent for path in own_folders())]))


def make_importable(folders: Sequence[Path]) -> None:
    """Append folders to the import path: at its end, where they shadow no module."""
    sys.path += [str(folder) for folder in folders if str(folder) not in sys.path]


def _folder(text: str) -> Path:
    """Return the absolute path of a folder that is written as a path, `file://PATH` or `pkg://PACKAGE`."""
    if text.startswith("pkg://"):
        name = text.removeprefix("pkg://").replace("/", ".")
        make_importable([Path.cwd()])
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"hydra.searchpath: there is no package {name} in the folder or the environment.")
        return Path(next(iter(spec.submodule_search_locations))).absolute()
    path = Path(text.removeprefix("file://")).expanduser().absolute()
    if not path.is_dir():
        raise UserError(
            f"there is no folder {path} for options.\n"
            "  Type --config-dir DIR, where DIR holds a folder for each group: DIR/model/mine.yaml is model=mine"
        )
    return path


def own_files() -> tuple[tuple[Path, int], ...]:
    """Return the files of the user's folders with their times of change, by which caches know that one was changed."""
    files = [file for folder in own_folders() for file in sorted(folder.glob("**/*.yaml"))]
    return tuple((file, file.stat().st_mtime_ns) for file in files)


def undecodable_file() -> Path | None:
    """Return the first file of options that is not UTF-8; None if all are."""
    for file in [*sorted(CONF_DIR.rglob("*.yaml")), *(file for file, _ in own_files())]:
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return file
        except OSError:
            continue
    return None


def groups() -> dict[str, list[str]]:
    """Return the options of each config group: the files of its folder; a name such as `_common` is no option."""
    return {group: list(options) for group, options in option_files().items()}


def option_file(group: str, option: str) -> Path:
    """Return the file of an option.

    Raises:
        UserError: two folders have an option of this name.
    """
    files = option_files()[group][option]
    if len(files) > 1:
        raise UserError(
            f"{group}={option} is in two folders: {' and '.join(map(str, files))}.\n"
            "  Rename your own, so that the name says which of the two is meant."
        )
    return files[0]


def option_files() -> dict[str, dict[str, list[Path]]]:
    """Find the files of each option of each group, in Convline's folder first.

    Only Convline's groups count; others are left to Hydra.
    """
    merged = {group: {option: [file] for option, file in files.items()} for group, files in _convline_files().items()}
    for folder in own_folders():
        for group, files in _files_in(folder).items():
            for option, file in files.items():
                if group in merged:
                    merged[group].setdefault(option, []).append(file)
    return merged


def _files_in(folder: Path) -> dict[str, dict[str, Path]]:
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.glob("*/**/*.yaml")):
        place = file.relative_to(folder).with_suffix("")
        group = next((inner for inner in INNER_GROUPS if str(place).startswith(f"{inner}/")), place.parts[0])
        if place.parts[0] != "hydra" and not place.name.startswith("_"):
            found.setdefault(group, {})[str(place.relative_to(group))] = file
    return dict(sorted(found.items()))


@functools.cache  # these files do not change while a program runs
def _convline_files() -> dict[str, dict[str, Path]]:
    return _files_in(CONF_DIR)


def nodes_with_target(node: Any, key: str = "") -> Iterator[tuple[str, dict[Any, Any]]]:
    """Yield key and node of everything in a config, or in a part of it, that names a class or a function."""
    if isinstance(node, DictConfig):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, dict) and "_target_" in node:
        yield key, node
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for name, child in children:
        yield from nodes_with_target(child, f"{key}.{name}" if key else str(name))


def targets_of(node: Any) -> set[str]:
    """Return every `_target_` in a config or a part of it."""
    return {node["_target_"] for _, node in nodes_with_target(node) if isinstance(node["_target_"], str)}


def targets_in(file: Path) -> set[str]:
    """Return every `_target_` in a YAML file; none if it cannot be read."""
    try:
        return targets_of(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError):
        return set()


@functools.cache
def convline_targets() -> set[str]:
    """Return every `_target_` that an option of Convline names."""
    return {target for file in CONF_DIR.rglob("*.yaml") for target in targets_in(file)}


@functools.cache
def convline_nodes() -> list[dict[str, Any]]:
    """Return every node with a `_target_` as the files of Convline's options have it."""
    contents = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in CONF_DIR.rglob("*.yaml")]
    return [node for content in contents for _, node in nodes_with_target(content)]
