"""Compute the identity of a run: a hash of its config, its data and the code, by which finished jobs are recognized."""

import functools
import json
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convline.config.schema import OF_SWEEPS
from convline.formatting import flattened
from convline.records import foreign_code
from convline.storage import short_hash

# The code that decides what a run computes: language, network, data, training, and the files outside of these that
# join the parts, read batches of a foreign data module, and choose checkpoints. A change of any other file, such as a
# color in a report, leaves the finished jobs of a sweep finished.
COMPUTES = ("pattern", "network", "data", "training", "run/train.py", "callbacks/checkpoint.py",
            "config/first_batch.py", "config/metrics.py")  # fmt: skip
# Settings that change where a run is written, how it looks and what runs beside it, not what it computes.
HASH_EXCLUDED = (*OF_SWEEPS, "name", "runs_dir", "debug", "logger", "data.root", "data.loader", "data.num_workers",
                "steps_per_execution", "callbacks.checkpoint.every_n_steps", "trainer.profiler",
                "trainer.rendezvous_minutes", "trainer.log_every_n_steps", *(f"callbacks.{name}" for name in (
                "pruning", "progress", "hparams", "throughput", "training_images", "norms", "histograms",
                "class_accuracy", "memory", "description", "pr_curves", "projector", "pictures")))  # fmt: skip


@functools.cache  # a report asks for the same few dozen keys in every run
def is_excluded_from_hash(key: str) -> bool:
    """Return whether a setting is left out of the identity of a run, because it changes no result."""
    return any(key == outside or key.startswith(f"{outside}.") for outside in HASH_EXCLUDED)


def identity(cfg: DictConfig, code: str, data: str) -> str:
    """Hash everything that decides what a run computes, into 16 hexadecimal digits.

    Args:
        cfg: the config; `HASH_EXCLUDED` is left out.
        code: the version of the code, from `code_key`.
        data: the fingerprint of the data.
    """
    return short_hash(json.dumps([_hashed_part(cfg), code, data], sort_keys=True))


def settings_key(cfg: DictConfig) -> str:
    """Hash the settings by which a command finds its earlier run, which may have had other ranks."""
    settings = hashed_settings(cfg)
    for name in ("devices", "num_nodes", "strategy"):
        settings.pop(f"trainer.{name}", None)
    return short_hash(json.dumps(settings, sort_keys=True))


def hashed_settings(cfg: DictConfig) -> dict[str, Any]:
    """Return the settings that decide what a run computes: `{"optimizer.lr": 0.05, …}`."""
    return dict(flattened(_hashed_part(cfg)))


def _hashed_part(cfg: DictConfig) -> Any:
    """Return the config without the settings of `HASH_EXCLUDED`."""
    # resolved as a whole, since values may refer to excluded settings
    kept: Any = OmegaConf.to_container(cfg, resolve=True)
    for key in HASH_EXCLUDED:
        if key.startswith("callbacks.") and foreign_code.foreign_targets(OmegaConf.select(cfg, key)):
            continue  # a callback of the user's own under the name of one of ours may change what is computed
        node, *path = kept, *key.split(".")
        while len(path) > 1 and isinstance(node, dict):
            node = node.get(path.pop(0))
        if isinstance(node, dict):
            node.pop(path[0], None)
    return kept


@functools.cache  # this process runs the code that it has loaded, even if a file changes later
def code_version() -> dict[str, Any]:
    """Describe the code; the values from git are None outside a checkout.

    Returns:
        `version` of the package; `files`, a hash of the files of `COMPUTES` where there is no git to ask, else None;
        `commit` of the checkout; `tree`, a hash of the committed files of `COMPUTES`, which a
        commit of anything else leaves alone; `dirty`, whether these have uncommitted changes; `changes`, a hash of
        such changes, new files included.
    """
    folder = Path(__file__).parents[1]

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    objects = git("rev-parse", "HEAD", *(f"HEAD:./{path}" for path in COMPUTES))
    commit, *trees = (objects or "").split("\n")
    changes = git("diff", "HEAD", "--", *COMPUTES)
    for name in sorted((git("ls-files", "--others", "--exclude-standard", "--", *COMPUTES) or "").splitlines()):
        changes = f"{changes}\n{name}\n{(folder / name).read_text(errors='replace')}"
    return {
        "version": version("convline"),
        "files": None if trees else short_hash(*(path.read_bytes() for path in _files_that_compute(folder))),
        "commit": commit or None,
        "tree": short_hash(" ".join(trees)) if trees else None,
        "dirty": bool(changes),
        "changes": short_hash(changes) if changes else None,
    }


def _files_that_compute(folder: Path) -> Iterator[Path]:
    for path in (folder / name for name in COMPUTES):
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def code_parts(cfg: DictConfig) -> dict[str, Any]:
    """Return what tells versions of the code of a run apart: `{"version": "0.2.0", "tree": …, "changes": …}`.

    `tree`, `changes` and `files` are those of `code_version`; the names of foreign code follow, each with its version.
    """
    code = code_version()
    return {key: code[key] for key in ("version", "tree", "changes", "files")} | foreign_code.code_of(_hashed_part(cfg))


def code_key(cfg: DictConfig) -> str:
    """Return the version of Convline, and of the foreign code that a config names, as one string for its identity."""
    code = code_version()
    foreign = foreign_code.code_of(_hashed_part(cfg))
    return f"{code['version']} {code['tree'] or code['files']} {code['changes']}" + (
        f" {json.dumps(foreign)}" if foreign else ""
    )
