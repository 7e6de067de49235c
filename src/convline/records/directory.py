"""Create, read and update run directories, which hold everything about one run, readable without this project.

config.yaml        the resolved config                 environment.json   command, code, versions, hardware, data
metrics.csv        one line an epoch                   events.out.*       TensorBoard
checkpoints/       best.ckpt, last.ckpt                predictions/       val.npz, test.npz: logits, labels
summary.json       status, identity, final metrics, times
log.txt            tracebacks of figures that failed; of a job of a sweep, all its output
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from convline.config.schema import OF_SWEEPS
from convline.config.stored import complaint_of_structure, complaint_of_values
from convline.errors import UserError
from convline.formatting import first_line
from convline.records import foreign_code
from convline.records.files import REMEDIES, RunFileError, read_mapping, read_record, read_text
from convline.records.lock import is_held
from convline.records.moved_targets import with_current_targets
from convline.storage import replacing, write_json

FOLDER_SOURCE = "convline.data.sources.folder"  # reads images of the user's own
UNKNOWN_DATA = "unknown data"
OTHER_FOLDERS = "other_folders.json"  # in the folder of a search: the trials of its study that lie in other folders

FILES = ("config.yaml", "summary.json", "environment.json")  # of which each run has some

ENDED = ("finished", "failed", "pruned")  # states that a run does not leave by itself


def create_run_directory(parent: Path, name: str) -> Path:
    """Make the run directory `parent`/`name`, or `parent`/`name`-2, -3, … if that exists.

    Raises:
        UserError: the folder cannot be written.
    """
    path = make_new_folder(parent, name)
    (path / "checkpoints").mkdir()
    return path


def make_new_folder(parent: Path, name: str) -> Path:
    """Make the folder `parent`/`name`, or `parent`/`name`-2, -3, … if that exists.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for count in range(1, 10_000):
            path = parent / (name if count == 1 else f"{name}-{count}")
            try:
                path.mkdir()  # atomic: of two processes only one makes the folder
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise UserError(
            f"the run directory {parent / name} cannot be made: {error.strerror}.\n"
            "  Name a folder that can be written: runs_dir=FOLDER"
        ) from error
    raise UserError(f"{parent} holds 10,000 runs named {name} already; name another folder: runs_dir=FOLDER")


def write_initial_files(run_dir: Path, cfg: DictConfig, **summary: Any) -> None:
    """Write config.yaml and summary.json, with the status "waiting", of a run that has not started.

    Args:
        run_dir: the run directory.
        cfg: the whole config; a relative `data.root` is made absolute, so that the run can be resumed from any folder.
        summary: further entries of summary.json.
    """
    content: Any = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    if "root" in content.data:
        content.data.root = str(
            Path(content.data.root or "data").expanduser().absolute()
        )  # an empty variable counts as none
    for key in OF_SWEEPS:  # they do not concern a single run
        content.pop(key, None)
    with replacing(run_dir / "config.yaml") as temporary:
        OmegaConf.save(content, temporary)
    folders = foreign_code.trust_code_of(content)
    update_summary(run_dir, status="waiting", seconds=0.0, **({"code_folders": folders} if folders else {}), **summary)


def update_summary(run_dir: Path, **values: Any) -> None:
    """Set some entries of summary.json, and keep the others.

    Raises:
        UserError: the file is damaged, and was not changed.
    """
    path = run_dir / "summary.json"
    try:
        content = read_record(path)
    except RunFileError as error:
        if not error.is_missing:
            raise
        content = {}
    write_json(path, {**content, **values})


def read_summary(run_dir: Path) -> dict[str, Any]:
    """Read summary.json; all of its entries but the status may be missing.

    Raises:
        UserError: `run_dir` is no run directory.
    """
    try:
        return read_record(run_dir / "summary.json")
    except RunFileError as error:
        raise _not_a_run(run_dir, error) from error


def read_status(run_dir: Path) -> str:
    """Read the status of a run: waiting, running, finished, failed, interrupted or pruned.

    A run whose process has died while it was running counts as interrupted.

    Raises:
        UserError: `run_dir` is no run directory.
    """
    recorded = str(read_summary(run_dir)["status"])
    return "interrupted" if recorded == "running" and not is_held(run_dir) else recorded


def read_config(run_dir: Path) -> DictConfig:
    """Read config.yaml as a config, with the present name of every class that was moved.

    Raises:
        UserError: `run_dir` is no run directory.
    """
    path = run_dir / "config.yaml"
    try:
        content = read_mapping(path)
        complaint = complaint_of_structure(content) or ("" if "model" in content else "it holds no model")
        if complaint:
            raise RunFileError(path, f"cannot be read: {complaint}")
        try:
            cfg = OmegaConf.create(read_text(path))  # OmegaConf knows more ways to write a number than YAML
        except (OmegaConfBaseException, YAMLError) as error:
            raise RunFileError(path, f"cannot be read: {first_line(error)}") from error
    except RunFileError as error:
        raise _not_a_run(run_dir, error) from error
    assert isinstance(cfg, DictConfig)  # as `read_mapping` has read one
    batch_size, devices = (OmegaConf.select(cfg, key) for key in ("data.batch_size", "trainer.devices"))
    if "loss" not in cfg and batch_size and devices:  # in version 0.1 each rank had a batch of its own
        cfg.data.batch_size = batch_size * devices
    return OmegaConf.create(with_current_targets(OmegaConf.to_container(cfg)))


def read_trusted_config(run_dir: Path, data_root: str | None = None) -> DictConfig:
    """Read config.yaml to build what it names, and make the user's own code importable.

    Args:
        run_dir: the run directory.
        data_root: folder in which the data lie now, if they were moved.
    Raises:
        UserError: `run_dir` is no run directory, a setting is one that the command line refuses, `data_root` has no
            effect, or the config names code that is not trusted.
    """
    cfg = read_config(run_dir)
    _find_moved_data(cfg, run_dir, data_root)
    try:
        folders = read_summary(run_dir).get("code_folders", [])
    except UserError:  # the summary is damaged, which need not stop somebody who only wants the network
        folders = []
    foreign_code.allow_code(run_dir, cfg, folders)
    if complaint := complaint_of_values(cfg):
        raise RunFileError(
            run_dir / "config.yaml",
            f"cannot be used: {complaint}",
            "Put a copy of the file back, or mend this setting; weights and curves remain.",
        )
    return cfg


def _find_moved_data(cfg: DictConfig, run_dir: Path, data_root: str | None) -> None:
    """Set the folder of a run's data: the given one, or $CONVLINE_DATA if the recorded folder is not there any more.

    The variable counts only for a run that has recorded the fingerprint of its data, which is then compared. Images of
    the user's own lie in a folder of their own, which it does not name.
    """
    recorded = OmegaConf.select(cfg, "data.root")
    if data_root is not None:
        if recorded is None:
            raise UserError(f"data.root={data_root} would have no effect: the data of {run_dir} are in no folder.")
        cfg.data.root = data_root
        return
    folder = os.environ.get("CONVLINE_DATA") if (run_dir / "environment.json").is_file() else None
    is_own = OmegaConf.select(cfg, "data.source._target_") == FOLDER_SOURCE
    if folder and recorded and not is_own and not Path(recorded).exists():
        cfg.data.root = str(Path(folder).expanduser().absolute())


def keep_data_root(run_dir: Path, data_root: str) -> None:
    """Write into config.yaml where the data of a run lie now, for its own processes and for later commands."""
    cfg = read_config(run_dir)
    _find_moved_data(cfg, run_dir, data_root)
    with replacing(run_dir / "config.yaml") as temporary:
        OmegaConf.save(cfg, temporary)


def read_environment(run_dir: Path) -> dict[str, Any]:
    """Read environment.json; {} if the run has not written it yet.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return read_record(run_dir / "environment.json")
    except RunFileError as error:
        if error.is_missing:
            return {}
        raise


def check_data(run_dir: Path, fingerprint: str) -> None:
    """Check that the data have the fingerprint that the run recorded when it started, if it has started.

    Raises:
        UserError: the fingerprints differ, or the record is damaged.
    """
    environment = read_environment(run_dir)
    began_with = environment["data_fingerprint"] if environment else fingerprint
    if began_with != fingerprint:
        raise UserError(
            f"the data are not those that {run_dir} was trained on: their fingerprint is {fingerprint}, not "
            f"{began_with}.\n  Files below data.root have changed, or another version of the code splits them. Put the "
            "old ones back, or start a new run."
        )


def data_name(choices: Mapping[str, Any], cfg: Mapping[str, Any]) -> str:
    """Return the name of a run's data set: the chosen option of the group, or else what reads the images.

    Args:
        choices: the chosen option of each config group.
        cfg: the config, which may be incomplete.
    """
    if choices.get("data"):
        return str(choices["data"])
    try:
        data = cfg["data"]
        return str((data.get("source") or data["module"])["_target_"].rpartition(".")[2])
    except (KeyError, TypeError, AttributeError):
        return UNKNOWN_DATA


def _not_a_run(run_dir: Path, error: RunFileError) -> UserError:
    """Say what is wrong with the folder, or with the file in it."""
    if error.is_missing and not any((run_dir / name).exists() for name in FILES):
        what = (
            f"its {error.path.name} cannot be read (it is missing)" if run_dir.is_dir() else "there is no such folder"
        )
        remedy = "Type the folder that a run's closing panel names, such as runs/…"
        return UserError(f"{run_dir} is not a run directory: {what}.\n  {remedy}")
    problem = error.problem.removeprefix("cannot be read: ") if not error.is_missing else "it is missing"
    return UserError(
        f"{run_dir} is not a run directory: its {error.path.name} cannot be read ({problem}).\n"
        f"  {REMEDIES[error.path.name]}"
    )
