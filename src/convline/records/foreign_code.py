"""Identify the code outside Convline that a config names by `_target_`, and refuse it where nobody has trusted it.

The identity of a run contains this code: its version if it is an installed package, else a hash of its source. So an
edited network of one's own is not taken for the one that was trained.

A run directory may come from somebody else, and its config could name any function. Trusted is what Convline's options
name in the same place, what the user has trained with on this machine, harmless classes of torch and the libraries
around it, and what the user names by `--trust`.
"""

import ast
import importlib.machinery
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from convline.config.options import (
    CONF_DIR,
    import_folders,
    make_importable,
    nodes_with_target,
    own_folders,
    targets_of,
)
from convline.errors import UserError
from convline.formatting import flattened
from convline.storage import exclusive_lock, make_private, short_hash, state_directory

TRUST = "CONVLINE_TRUST"  # environment variable: names of code that is trusted, with commas between; 1 trusts all
LIBRARIES = ("torch", "torchvision", "torchmetrics", "lightning")
# Classes of these modules hold and compute: none of their arguments is loaded, run, written to or deleted. Neighbors do
# such things, and are left out: loggers, profilers and ModelCheckpoint write where they are told to, data sets
# download, metrics of texts, sounds and pictures load networks.
HARMLESS = (
    "torch.nn.modules", "torch.optim",
    "torchmetrics.classification", "torchmetrics.regression", "torchmetrics.aggregation",
)  # fmt: skip
HARMLESS_CLASSES = (
    *(f"lightning.pytorch.callbacks.{name}" for name in (
        "BackboneFinetuning", "DeviceStatsMonitor", "EarlyStopping", "EMAWeightAveraging",
        "GradientAccumulationScheduler", "LearningRateMonitor", "ModelSummary", "RichModelSummary", "RichProgressBar",
        "StochasticWeightAveraging", "Timer", "TQDMProgressBar", "WeightAveraging")),
    "lightning.pytorch.strategies.DDPStrategy",
    "torchvision.datasets.FakeData",
)  # fmt: skip


def foreign_targets(node: Any) -> list[str]:
    """Return the targets outside Convline and the libraries that it is built on."""
    return sorted(t for t in targets_of(node) if t.partition(".")[0] not in (*LIBRARIES, "convline"))


def code_of(node: Any) -> dict[str, str]:
    """Return the version of the code behind each foreign target: `NAME VERSION` of a package, or a hash of its source.

    Args:
        node: the config, or the part of it that decides what a run computes.
    """
    names = [*foreign_targets(node), *_own_names(node)]
    return {name: _version(name.partition(".")[0]) for name in names}


def _own_names(node: Any) -> list[str]:
    """Return the dotted names of the user's own code among the arguments of targets: they may be imported by these."""
    folders = list(map(str, import_folders()))
    texts = {
        value
        for _, inner in nodes_with_target(node)
        for key, value in flattened(inner)
        if isinstance(value, str) and not key.endswith("_target_") and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", value)
    }
    return sorted(t for t in texts if importlib.machinery.PathFinder.find_spec(t.partition(".")[0], folders))


def record(cfg: DictConfig) -> dict[str, Any]:
    """Describe for `environment.json` where options and foreign code came from."""
    return {"folders": list(map(str, own_folders())), "foreign_code": code_of(cfg)}


def trust_code_of(cfg: DictConfig) -> list[str]:
    """Remember that the user trains with the code that a config names; return the folders of the foreign code."""
    entries = [f"{target} {_origin(target)}" for target in sorted({target for _, target in _not_shipped(cfg)})]
    entries += [f"{target} {value}" for _, target, value in _paths_of(cfg)]
    known = _trusted()
    new = [entry for entry in entries if entry not in known]
    if new:
        try:
            make_private(_store().parent)
            with exclusive_lock(_store().with_suffix(".lock")), open(_store(), "a") as file:
                file.writelines(f"{entry}\n" for entry in new)
        except OSError:
            trust([entry.partition(" ")[0] for entry in new])  # in this command, whose processes have no list to read
    found = {_origin(target) for target in foreign_targets(cfg)}
    return [str(folder) for folder in import_folders() if str(folder) in found]


def trust(names: Sequence[str]) -> None:
    """Trust code by its name in this process and those that it starts; see `--trust`."""
    os.environ[TRUST] = ",".join(dict.fromkeys([*_named(), *names]))


def take_trust(arguments: Sequence[str]) -> list[str]:
    """Trust what the options `--trust NAME` of a command line name, and return its other words.

    Raises:
        UserError: an option has no name.
    """
    others, names = [], []
    words = iter(arguments)
    for word in words:
        option, equals, name = word.partition("=")
        if option == "--trust":
            names.append(name if equals else next(words, ""))
        else:
            others.append(word)
    if not all(names):
        raise UserError("--trust needs a name: that of the class or function that a run names, as the error writes it.")
    if names:
        trust(names)
    return others


def allow_code(run_dir: Path, cfg: DictConfig, folders: Sequence[str]) -> None:
    """Make the code of a run directory importable, if all of it is trusted.

    A folder that holds no trusted code is not importable: a library that looks for an optional module would run it.

    Args:
        run_dir: the run directory.
        cfg: its config.
        folders: the folders that held its foreign code.
    Raises:
        UserError: the config names code that neither an option of Convline names in its place, nor the user has trained
            with or trusts by name; or it lets a class write outside of the run directory.
    """
    candidates = [*import_folders(), *map(Path, folders)]
    if "1" in _named():
        make_importable(candidates)
        return
    trusted, named = _trusted(), _named()
    origins = {entry.partition(" ")[2] for entry in trusted}
    # the code that is trusted by its name may lie in any of the folders
    make_importable([f for f in candidates if str(f) in origins or any(_lies_in(f, name) for name in named)])
    for key, target in _not_shipped(cfg):
        if not (target in named or f"{target} {_origin(target)}" in trusted or _is_harmless(target)):
            raise UserError(
                f"{run_dir} names the code {target} as {key}, which no option names there and nobody has trained with "
                f"here.\n  A run of somebody else could do anything by it. If you trust it, add: --trust {target}\n"
                f"  or, before a command that has no such option: {TRUST}={target}"
            )
    for key, target, value in _paths_of(cfg):
        if not (target in named or f"{target} {value}" in trusted):
            raise UserError(
                f"{run_dir} names the place {value} outside of the run, as {key}, to which {target} would write.\n"
                f"  If you trust it, add: --trust {target}"
            )


def _named() -> list[str]:
    """Return the names that are trusted in this process; "1" trusts all code."""
    return [name for name in os.environ.get(TRUST, "").split(",") if name]


def _lies_in(folder: Path, target: str) -> bool:
    name = target.partition(".")[0]
    return importlib.machinery.PathFinder.find_spec(name, [str(folder)]) is not None


def _not_shipped(cfg: Any) -> Iterator[tuple[str, str]]:
    """Yield key and target of all that no option of Convline names in this place.

    A class that is harmless as a logger may do harm as a network, which gets its arguments from elsewhere.
    """
    for key, node in nodes_with_target(cfg):
        target = str(node["_target_"])
        if target not in shipped_targets().get(_place(key), ()):
            yield key, target


def _place(key: str) -> str:
    """Return the place of a key: callbacks.norms and callbacks.mine are one, data and data.source are two."""
    group, _, rest = key.partition(".")
    return group if group in ("callbacks", "logger") and "." not in rest else key


@cache
def shipped_targets() -> dict[str, set[str]]:
    """Return the targets that options of Convline name, by the place where they do."""
    found: dict[str, set[str]] = {"callbacks": {"convline.callbacks.optuna_pruning.Pruning"}}
    for file in CONF_DIR.rglob("*.yaml"):
        folder = file.relative_to(CONF_DIR).parts[:-1]
        group = folder[0] if folder and folder[0] != "experiment" else ""  # train.yaml and experiments have whole keys
        if folder[:1] == ("sweep",):
            group = ".".join(folder)
        for key, node in nodes_with_target(yaml.safe_load(file.read_text(encoding="utf-8")), group):
            found.setdefault(_place(key), set()).add(node["_target_"])
    for sampler in found.get("sweep.pruner", ()):
        found.setdefault("callbacks.pruning.pruner", set()).add(sampler)
    return found


def _paths_of(cfg: Any) -> Iterator[tuple[str, str, str]]:
    """Yield key, target and value of each place outside of the run to which a logger, callback or profiler may write.

    The run gives them its own directory; what else is a path or an address is none of its business.
    """
    for key, node in nodes_with_target(cfg):
        target = str(node["_target_"])
        if key.partition(".")[0] in ("logger", "callbacks", "trainer"):
            for name, value in node.items():
                if isinstance(value, str) and (value[:1] in ("/", "~") or ".." in value or ":/" in value):
                    yield f"{key}.{name}", target, value


def _is_harmless(target: str) -> bool:
    """Return whether a target is a class or a function of a library that only builds networks, optimizers, metrics."""
    if target in HARMLESS_CLASSES:
        return True
    # the name first: importing a module runs it
    if not target.startswith(("torch.nn.", "torch.optim.", "torchmetrics.", "torchvision.models.")):
        return False
    if target.startswith("torchvision.models."):
        from torchvision.models import get_model_builder, list_models

        builders = (get_model_builder(name) for name in list_models())
        return any(target in _names_of(builder) for builder in builders)
    from hydra.utils import get_object  # imports the library, which takes seconds: only where it is needed

    try:
        found = get_object(target)
    except Exception:
        return target.count(".") < 4  # there is no such thing: the error comes when it is to be built
    module = getattr(found, "__module__", "")  # of the object itself: torch.nn.modules.module.os.system is of `posix`
    return isinstance(found, type) and any(module == name or module.startswith(f"{name}.") for name in HARMLESS)


def _names_of(builder: Any) -> tuple[str, ...]:
    """Return the names of a network of torchvision: with its module, and as its packages export it."""
    packages = builder.__module__.split(".")
    return tuple(".".join([*packages[:count], builder.__name__]) for count in range(2, len(packages) + 1))


def _store() -> Path:
    return state_directory() / "trusted_code.txt"


def _trusted() -> set[str]:
    with suppress(OSError):
        return set(_store().read_text(encoding="utf-8", errors="replace").splitlines())
    return set()


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Find a top-level module without importing it; that of an editable installation may have a finder of its own."""
    finders = [getattr(finder, "find_spec", None) for finder in (importlib.machinery.PathFinder, *sys.meta_path)]
    return next((spec for find in finders if find and (spec := find(name, None)) is not None), None)


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
    folders = list(dict.fromkeys([top.parent, *import_folders()]))
    content = [f"{name}\n{file.read_text(errors='replace')}" for file, name in sorted(_closure(top, folders).items())]
    return f"source {short_hash(*content)}"


def _closure(top: Path, folders: Sequence[Path]) -> dict[Path, str]:
    """Return the Python files of a module or package, and of those in the folders that they import, with their names.

    A name is the path in the file's folder, which does not change if the folder is moved.
    """
    found: dict[Path, str] = {}
    todo = [(top, top.parent)]
    while todo:
        place, folder = todo.pop()
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place] if place.is_file() else []:
            if file in found:
                continue
            found[file] = str(file.relative_to(folder))
            for name in _imported_names(file):
                for other in folders:
                    todo += [(path, other) for path in (other / name, other / f"{name}.py") if path.exists()]
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
