"""Run directories: everything that one run was and gave, readable without this project.

config.yaml        the resolved config                 environment.json   command, code, versions, hardware, data
metrics.csv        one line an epoch                   events.out.*       TensorBoard
checkpoints/       best.ckpt, last.ckpt                predictions/       val.npz, test.npz: logits, labels
summary.json       status, identity, final figures, times
"""

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convline.config.schema import OF_SWEEPS
from convline.errors import UserError
from convline.formatting import first_line
from convline.records.lock import is_held
from convline.records.moved_targets import with_current_targets
from convline.storage import write_json

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
    """Read config.yaml as a config, with every class where it is now.

    Raises:
        UserError: `run_dir` is no run directory.
    """
    try:
        cfg = OmegaConf.load(run_dir / "config.yaml")
    except Exception as error:
        raise _not_a_run(run_dir, "config.yaml", error) from error
    if not isinstance(cfg, DictConfig) or "model" not in cfg:
        raise _not_a_run(run_dir, "config.yaml", ValueError("it holds no model"))
    return OmegaConf.create(with_current_targets(OmegaConf.to_container(cfg)))


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
