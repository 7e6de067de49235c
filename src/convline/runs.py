"""Run directories: everything that one run was and gave, readable without this project.

config.yaml        the resolved config                 environment.json   command, code, versions, hardware, data
metrics.csv        one line an epoch                   events.out.*       TensorBoard
checkpoints/       best.ckpt, last.ckpt                predictions/       val.npz, test.npz: logits, labels
summary.json       status, identity, final figures, times
"""

import functools
import hashlib
import json
import os
import pickle
import platform
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convline.errors import UserError, first_line
from convline.lock import is_held
from convline.schema import OF_SWEEPS

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf", "numpy", "tensorboard")
# Settings that change where a run is written, how it looks and what runs beside it, not what it computes.
NOT_IDENTITY = (*OF_SWEEPS, "name", "runs_dir", "debug", "logger", "data.root", "data.loader", "data.num_workers",
                "trainer.profiler", "trainer.log_every_n_steps", *(f"callbacks.{name}" for name in (
                "pruning", "progress", "hparams", "throughput", "training_images", "norms", "histograms",
                "class_accuracy", "memory", "description", "pr_curves", "projector", "pictures")))  # fmt: skip

UNKNOWN_DATA = "unknown data"


def create(parent: Path, name: str) -> Path:
    """Make a run's directory `parent`/`name` that did not exist, with `-2`, `-3`, … if it did.

    Raises:
        UserError: it cannot be written.
    """
    path = make_new(parent, name)
    (path / "checkpoints").mkdir()
    return path


def make_new(parent: Path, name: str) -> Path:
    """Make a folder that did not exist, named likewise.

    Raises:
        UserError: it cannot be written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for count in range(1, 10_000):
            path = parent / (name if count == 1 else f"{name}-{count}")
            try:
                path.mkdir()  # the one test-and-make that two processes cannot both win
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise UserError(
            f"the run directory {parent / name} cannot be made: {error.strerror}.\n"
            "  Name a folder that can be written: runs_dir=FOLDER"
        ) from error
    raise UserError(f"{parent} holds 10,000 runs named {name} already; name another folder: runs_dir=FOLDER")


def lay_out(run_dir: Path, cfg: DictConfig, **summary: Any) -> None:
    """Fill the directory of a run that is still to come: its config, and a summary that says that it is waiting.

    Args:
        run_dir: that of the run.
        cfg: the whole config; a relative `data.root` is made absolute, so that the run can go on in another folder.
        summary: what else is known of the run.
    """
    content: Any = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    if "root" in content.data:
        content.data.root = str(Path(content.data.root or "data").absolute())  # an empty variable is none
    for key in OF_SWEEPS:  # which a run's config need not know
        content.pop(key, None)
    OmegaConf.save(content, run_dir / "config.yaml")
    update_summary(run_dir, status="waiting", seconds=0.0, **summary)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a whole file or none."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, default=str) + "\n")
    os.replace(temporary, path)


def update_summary(run_dir: Path, **values: Any) -> None:
    """Change some values of summary.json."""
    path = run_dir / "summary.json"
    content = json.loads(path.read_text()) if path.is_file() else {}
    write_json(path, {**content, **values})


def read_summary(run_dir: Path) -> dict[str, Any]:
    """summary.json as it is.

    Raises:
        UserError: `run_dir` is no run directory.
    """
    try:
        summary = json.loads((run_dir / "summary.json").read_text())
        if not isinstance(summary, dict) or "status" not in summary:
            raise ValueError("it holds no status")
    except (OSError, ValueError) as error:
        raise _not_a_run(run_dir, "summary.json", error) from error
    return summary


def status(run_dir: Path) -> str:
    """waiting, running, finished, failed, interrupted or pruned; a run whose process died counts as interrupted.

    Raises:
        UserError: `run_dir` is no run directory.
    """
    told = str(read_summary(run_dir)["status"])
    return "interrupted" if told == "running" and not is_held(run_dir) else told


def read_config(run_dir: Path) -> DictConfig:
    """config.yaml as a config.

    Raises:
        UserError: `run_dir` is no run directory.
    """
    try:
        cfg = OmegaConf.load(run_dir / "config.yaml")
    except Exception as error:
        raise _not_a_run(run_dir, "config.yaml", error) from error
    if not isinstance(cfg, DictConfig) or "model" not in cfg:
        raise _not_a_run(run_dir, "config.yaml", ValueError("it holds no model"))
    return cfg


def check_data(run_dir: Path, fingerprint: str) -> None:
    """Make sure that data are those which the run was begun with, if it says so already.

    Raises:
        UserError: they are others.
    """
    path = run_dir / "environment.json"
    began_with = json.loads(path.read_text())["data_fingerprint"] if path.is_file() else fingerprint
    if began_with != fingerprint:
        raise UserError(
            f"the data are not those that {run_dir} was trained on: their fingerprint is {fingerprint}, not "
            f"{began_with}.\n  Files below data.root have changed, or another version of the code splits them. Put the "
            "old ones back, or start a new run."
        )


def data_name(choices: Mapping[str, Any], cfg: Mapping[str, Any]) -> str:
    """What a run's data set is called: the chosen option of the group, or else the function that gives the images.

    Args:
        choices: which option was taken of each config group.
        cfg: the config, or what could be read of it.
    """
    try:
        return str(choices.get("data") or cfg["data"]["source"]["_target_"].rpartition(".")[2])
    except (KeyError, TypeError, AttributeError):
        return UNKNOWN_DATA


def _not_a_run(run_dir: Path, file: str, error: Exception) -> UserError:
    what = "there is no such folder" if not run_dir.is_dir() else f"its {file} cannot be read ({first_line(error)})"
    return UserError(
        f"{run_dir} is not a run directory: {what}.\n  Type the folder that a run's closing panel names, such as runs/…"
    )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's tensors and plain values, on the processor.

    Raises:
        UserError: the file is missing or damaged, or holds code, which is never executed.
    """
    import torch  # takes seconds, which reading a folder of runs need not wait for

    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not a zip file" if path.is_file() else "it is not there")
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                raise ValueError(f"the check sum of {broken} is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
            raise ValueError("it holds no weights")
        return checkpoint
    except pickle.UnpicklingError as error:
        raise UserError(
            f"the checkpoint {path} holds more than tensors and plain values, and was not loaded: it could run code.\n"
            f"  {first_line(error)}"
        ) from error
    except Exception as error:
        raise UserError(f"the checkpoint {path} is damaged: {first_line(error)}") from error


def newest_checkpoint(run_dir: Path) -> tuple[Path | None, list[str]]:
    """The checkpoint to go on from: the last one, or the best one if the last one is damaged.

    Returns:
        Its path, None if the run had not written any; and a complaint for each that could not be used.
    Raises:
        UserError: none of those that are there can be used.
    """
    complaints = []
    for name in ("last.ckpt", "best.ckpt"):
        path = run_dir / "checkpoints" / name
        if not path.exists():
            continue
        try:
            load_checkpoint(path)
        except UserError as error:
            complaints.append(str(error))
        else:
            return path, complaints
    if complaints:
        raise UserError(f"{run_dir} holds no checkpoint that can be used:\n  " + "\n  ".join(complaints))
    return None, []


def identity(cfg: DictConfig, code: str, data: str) -> str:
    """A hash of all that decides what a run computes: 16 hexadecimal digits.

    Args:
        cfg: the config; `NOT_IDENTITY` is left out.
        code: version of the code.
        data: fingerprint of the data.
    """
    kept: Any = OmegaConf.to_container(cfg, resolve=True)  # whole: values may refer to what is left out
    for key in NOT_IDENTITY:
        node, *path = kept, *key.split(".")
        while len(path) > 1 and isinstance(node, dict):
            node = node.get(path.pop(0))
        if isinstance(node, dict):
            node.pop(path[0], None)
    text = json.dumps([kept, code, data], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@functools.cache  # what this process has loaded is what was there when it began
def code_version() -> dict[str, Any]:
    """What code this is; nulls outside a git checkout.

    Returns:
        `version`; `commit` of the checkout; `tree`, git's hash of the package as committed, which a commit of anything
        else leaves alone; whether the package is `dirty`; `changes`, a hash of what differs, new files included.
    """
    folder = Path(__file__).parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit, tree = (git("rev-parse", "HEAD", "HEAD:./") or "\n").split("\n")
    changes = git("diff", "HEAD", "--", ".")
    for name in sorted((git("ls-files", "--others", "--exclude-standard", "--", ".") or "").splitlines()):
        changes = f"{changes}\n{name}\n{(folder / name).read_text(errors='replace')}"
    return {
        "version": version("convline"),
        "commit": commit or None,
        "tree": tree or None,
        "dirty": bool(changes),
        "changes": hashlib.blake2b(changes.encode(), digest_size=8).hexdigest() if changes else None,
    }


def code_key() -> str:
    """The version of the code, as it goes into a run's identity."""
    code = code_version()
    return f"{code['version']} {code['tree']} {code['changes']}"


def environment(data_fingerprint: str) -> dict[str, Any]:
    """What the run ran on: command, code, versions, hardware, data."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "command": [Path(sys.executable).name, *sys.argv],
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "code": code_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "hardware": {
            "system": platform.platform(),
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": gpus,
        },
        "data_fingerprint": data_fingerprint,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
