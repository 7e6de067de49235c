"""A search: its settings checked, its folder and study found or made, its trials done, its outcome told."""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from convline.config import compose as config
from convline.config import validate as ranges
from convline.errors import UserError
from convline.records import directory as runs
from convline.sweeps import search_space as space
from convline.sweeps import study
from convline.sweeps.directory import in_turn, wanted_folder
from convline.sweeps.executors import launcher
from convline.sweeps.finish import closing
from convline.sweeps.jobs import describe
from convline.sweeps.outcome import conclude, write_importance
from convline.sweeps.trials import Trials


def search(words: Sequence[str], cfg: DictConfig, context: HydraContext) -> None:
    """Do or go on with the search that `-m WORDS` stands for.

    Args:
        words: as typed.
        cfg: the config that the trials have in common, with Hydra's node.
        context: Hydra's, for its launchers.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the table of what is there has been printed.
        UserError: a setting is wrong, or a trial failed.
    """
    ranges.check_of_sweeps(cfg)
    if cfg.rerun != "failed":
        raise UserError(f"rerun={cfg.rerun}: a search goes on where it is; for another one type sweep.seed=1")
    from convline.data.source_cache import sharing

    with sharing():
        trials = open_trials(words, cfg.sweep, *wanted_folder(cfg))
        with closing() as show:
            print(trials.summary())
            show(trials.folder)
            try:
                launcher(cfg, context).search(trials)
            finally:
                write_importance(trials)  # before the report, which draws it
        conclude(trials)


def open_trials(words: Sequence[str], settings: DictConfig, path: Path, explicit: bool) -> Trials:
    """Check everything that can be checked before a trial, and find or make the search's folder and study.

    Args:
        words: as typed.
        settings: the config's node `sweep`.
        path: of a new folder; the search's own is looked for beside it.
        explicit: it is to be this folder and no other.
    Raises:
        UserError: a setting is wrong, or the folder holds another sweep.
    """
    study.need_optuna()
    study.check(settings)
    fixed, dimensions = space.read(words, settings.space)
    lowest = [dimension.word(dimension.extremes()[0]) for dimension in dimensions]
    ends = [
        [*lowest[:place], dimension.word(value), *lowest[place + 1 :]]
        for place, dimension in enumerate(dimensions)
        for value in dimension.extremes()[1:]
    ]
    composed = config.compose_all([[*fixed, *chosen] for chosen in (lowest, *ends)])  # a run can have all these values
    if settings.pruner and not composed[0][0].get("callbacks"):
        raise UserError("a pruner is a callback, and ~callbacks leaves none. Leave one of the two out.")
    fingerprints: dict[str, str] = {}
    identity = describe([], [], *composed[0], fingerprints).identity
    key = _key(identity, settings, dimensions)
    folder = _folder(path, explicit, key, words)
    opened = study.open_study(settings.storage or study.default_url(folder), f"convline-{key}", settings, dimensions)
    return Trials(folder, opened, settings, fixed, dimensions, fingerprints)


def reopen(folder: Path) -> Trials:
    """The trials of a search that another process has opened in this folder."""
    words = json.loads((folder / "sweep.json").read_text())["words"]
    single = [o.input_line or "" for o in config.parse_overrides(words) if not o.is_sweep_override()]
    return open_trials(words, config.load_config(single).sweep, folder, explicit=True)


def _key(identity: str, settings: DictConfig, dimensions: Sequence[space.Dimension]) -> str:
    """A hash of all that makes two commands the same search: their number of trials may differ."""
    own: Any = OmegaConf.to_container(settings, resolve=True)
    asked = {name: value for name, value in own.items() if name not in ("trials", "space")}
    ranges = [[d.key, repr(d.distribution), [text for _, text in d.texts]] for d in dimensions]
    return hashlib.blake2b(json.dumps([identity, asked, ranges]).encode(), digest_size=8).hexdigest()


def _folder(path: Path, explicit: bool, key: str, words: Sequence[str]) -> Path:
    """The folder of this search, or a new one.

    Raises:
        UserError: the one that was named holds another sweep.
    """
    with in_turn(path.parent):
        folder: Path | None = path
        if not explicit:
            folder = next((known.parent for known in path.parent.glob("*/sweep.json") if _is_of(known, key)), None)
        elif (path / "sweep.json").exists() and not _is_of(path / "sweep.json", key):
            raise UserError(
                f"{path} holds another sweep, or this one by another version of the code.\n  Name another folder."
            )
        else:
            path.mkdir(exist_ok=True)
        folder = folder or runs.make_new(path.parent, path.name)
        runs.write_json(folder / "sweep.json", {"search": key, "words": list(words), "command": sys.argv})
        return folder


def _is_of(path: Path, key: str) -> bool:
    try:
        return json.loads(path.read_text()).get("search") == key
    except (OSError, ValueError, AttributeError):
        return False
