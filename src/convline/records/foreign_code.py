"""Identify the code outside Convline that a config names by `_target_`, and refuse it where nobody has trusted it.

The identity of a run contains this code: its version if it is an installed package, else a hash of its source. So an
edited network of one's own is not taken for the one that was trained.

A run directory may come from somebody else, and its config could name any function. What Convline's options name is
trusted, what the user has trained with is too, and so are harmless classes of torch and the libraries around it.
"""

import ast
import importlib.machinery
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from convline.config.options import (
    convline_targets,
    import_folders,
    make_importable,
    own_folders,
    targets_of,
)
from convline.errors import UserError
from convline.storage import exclusive_lock, make_private, short_hash, state_directory

TRUST = "CONVLINE_TRUST"  # environment variable: 1 trusts all code that a run directory names
LIBRARIES = ("torch", "torchvision", "torchmetrics", "lightning")
# Objects of these modules hold and compute, and run nothing that their arguments name.
HARMLESS = (
    "torch.nn.modules", "torch.optim", "torchvision.models", "torchvision.datasets", "torchmetrics",
    "lightning.pytorch.callbacks", "lightning.pytorch.loggers", "lightning.pytorch.profilers",
)  # fmt: skip


def foreign_targets(node: Any) -> list[str]:
    """Return the targets outside Convline and the libraries that it is built on."""
    return sorted(t for t in targets_of(node) if t.partition(".")[0] not in (*LIBRARIES, "convline"))


def code_of(node: Any) -> dict[str, str]:
    """Return the version of the code behind each foreign target: `NAME VERSION` of a package, or a hash of its source.

    Args:
        node: the config, or the part of it that decides what a run computes.
    """
    return {target: _version(target.partition(".")[0]) for target in foreign_targets(node)}


def record(cfg: DictConfig) -> dict[str, Any]:
    """Describe for `environment.json` where options and foreign code came from."""
    return {"folders": list(map(str, own_folders())), "foreign_code": code_of(cfg)}


def trust_code_of(cfg: DictConfig) -> list[str]:
    """Remember that the user trains with the code that a config names; return the folders of the foreign code."""
    entries = [f"{target} {_origin(target)}" for target in sorted(targets_of(cfg) - convline_targets())]
    known = _trusted()
    new = [entry for entry in entries if entry not in known]
    if new:
        try:
            make_private(_store().parent)
            with exclusive_lock(_store().with_suffix(".lock")), open(_store(), "a") as file:
                file.writelines(f"{entry}\n" for entry in new)
        except OSError:
            os.environ[TRUST] = "1"  # for the processes of this command, which then have no list to read
    found = {_origin(target) for target in foreign_targets(cfg)}
    return [str(folder) for folder in import_folders() if str(folder) in found]


def allow_code(run_dir: Path, cfg: DictConfig, folders: Sequence[str]) -> None:
    """Make the code of a run directory importable, if all of it is trusted.

    A folder that holds no trusted code is not importable: a library that looks for an optional module would run it.

    Args:
        run_dir: the run directory.
        cfg: its config.
        folders: the folders that held its foreign code.
    Raises:
        UserError: the config names code that neither an option of Convline names nor the user has trained with.
    """
    candidates = [*import_folders(), *map(Path, folders)]
    if os.environ.get(TRUST) == "1":
        make_importable(candidates)
        return
    trusted = _trusted()
    origins = {entry.partition(" ")[2] for entry in trusted}
    make_importable([folder for folder in candidates if str(folder) in origins])
    for target in sorted(targets_of(cfg) - convline_targets()):
        if f"{target} {_origin(target)}" not in trusted and not _is_harmless(target):
            raise UserError(
                f"{run_dir} names the code {target}, which no option names and nobody has trained with here.\n"
                f"  A run of somebody else could do anything by it. If you trust it, type {TRUST}=1 before the command."
            )


def _is_harmless(target: str) -> bool:
    """Return whether a target is a class or a function of a library that only builds networks, data, metrics, …"""
    if target.partition(".")[0] not in LIBRARIES:
        return False
    from hydra.utils import get_object  # imports the library, which takes seconds: only where it is needed

    try:
        found = get_object(target)
    except Exception:
        return True  # there is no such thing: the error comes when it is to be built
    module = getattr(found, "__module__", "")  # of the object itself: torch.nn.modules.module.os.system is of `posix`
    is_class_or_model = isinstance(found, type) or module.startswith("torchvision.models")
    return is_class_or_model and any(module == name or module.startswith(f"{name}.") for name in HARMLESS)


def _store() -> Path:
    return state_directory() / "trusted_code.txt"


def _trusted() -> set[str]:
    with suppress(OSError):
        return set(_store().read_text().splitlines())
    return set()


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Find a top-level module without importing it."""
    return importlib.machinery.PathFinder.find_spec(name, sys.path)


def _origin(target: str) -> str:
    """Return the folder that holds a target's top-level module or package; an empty text if there is none."""
    spec = _spec(target.partition(".")[0])
    if spec is None:
        return ""
    locations = list(spec.submodule_search_locations or [])
    place = Path(locations[0] if locations else spec.origin or "")
    return str(place.parent)


@cache  # this process runs the code that it has loaded, even if a file changes later
def _version(name: str) -> str:
    """Return the version of a top-level module: `NAME VERSION` if it is installed, else a hash of its source."""
    for distribution in importlib.metadata.packages_distributions().get(name, []):
        direct = importlib.metadata.distribution(distribution).read_text("direct_url.json")
        if not (direct and json.loads(direct).get("dir_info", {}).get("editable")):
            return f"{distribution} {importlib.metadata.version(distribution)}"
    if name.partition(".")[0] in sys.stdlib_module_names:
        return f"Python {platform.python_version()}"
    spec = _spec(name)
    if spec is None:
        return "not found"
    top = Path(next(iter(spec.submodule_search_locations or [spec.origin or ""])))
    files = sorted(_closure(top))
    content = [f"{file.relative_to(top.parent)}\n{file.read_text(errors='replace')}" for file in files]
    return f"source {short_hash(*content)}"


def _closure(top: Path) -> set[Path]:
    """Return the Python files of a module or package, and of those beside it that they import."""
    found: set[Path] = set()
    todo = [top]
    while todo:
        place = todo.pop()
        for file in set(sorted(place.rglob("*.py")) if place.is_dir() else [place] if place.is_file() else []) - found:
            found.add(file)
            for name in _imported_names(file):
                todo += [path for path in (top.parent / name, top.parent / f"{name}.py") if path.exists()]
    return found


def _imported_names(file: Path) -> Iterator[str]:
    """Return the top-level names that a file imports."""
    try:
        tree = ast.parse(file.read_text(errors="replace"))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]
