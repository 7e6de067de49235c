"""Begin or resume a run: make and lock its directory, and train it in this process or on ranks that it starts.

The module imports neither torch nor Lightning, which take seconds: a process that only starts ranks needs no Lightning.
"""

import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from convline.errors import Interrupted, UserError, machine_fault
from convline.formatting import figures_command, first_line, resume_command
from convline.records import identity
from convline.records.directory import (
    create_run_directory,
    keep_data_root,
    read_config,
    read_summary,
    read_trusted_config,
    update_summary,
    write_initial_files,
)
from convline.records.lock import STALE_SECONDS, is_held, locked
from convline.run.world import World, check_devices_of_torchrun, join, stand_alone
from convline.signals import stoppable
from convline.storage import short_hash


def run_name(cfg: DictConfig, choices: Mapping[str, str]) -> str:
    """Return the name of a new run directory: the time, and `name` or the network and the data set."""
    name = (cfg.name or f"{choices['model']}_{choices['data']}").replace("/", "-")
    return f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name}"


def start(cfg: DictConfig, parent: Path, name: str, choices: dict[str, str], resume_auto: bool = False) -> Path:
    """Train a new run in a new directory, and return it.

    Args:
        cfg: the whole config.
        parent: folder in which the run directory is made.
        name: name of the run directory; it gets a number if the name is taken.
        choices: the chosen option of each config group.
        resume_auto: go on with the newest run in `parent` that has the same settings and code, if there is one.
    Raises:
        UserError: a setting or the data are wrong. If training has not started by then, the directory is removed.
    """
    with join(cfg) as world:
        _check_same(cfg, world)
        launch, key = world.launch_id(), short_hash(identity.settings_key(cfg), identity.code_key(cfg))

        def earlier_run() -> str | None:
            if resume_auto:
                if found := _newest_run(parent, "key", key):
                    _wait_for_holder(Path(found))
                return found
            return _newest_run(parent, "launch", launch) if world.is_restarted() else None

        if earlier := world.from_first_rank("earlier run", earlier_run):
            _resume(Path(earlier), world)
            return Path(earlier)

        def new_run() -> str:
            run_dir = create_run_directory(parent, name)
            try:
                write_initial_files(run_dir, cfg, choices=choices, key=key, **({"launch": launch} if launch else {}))
            except OSError:
                shutil.rmtree(run_dir, ignore_errors=True)
                raise
            return str(run_dir)

        run_dir = Path(world.from_first_rank("run directory", new_run))
        try:
            with _locked_and_stoppable(run_dir, world):
                run_or_resume(run_dir, world)
        except UserError:
            if world.rank == 0 and not is_gone(run_dir) and "started" not in read_summary(run_dir):
                shutil.rmtree(run_dir)
            raise
    return run_dir


def resume(run_dir: Path, devices: int | None = None, data_root: str | None = None) -> dict[str, Any]:
    """Continue a run that was interrupted, killed or failed, from its last checkpoint.

    Args:
        run_dir: the run directory.
        devices: number of devices to go on with; None: as many as before. With another number of ranks the images and
            the schedule stay the same, but dropout and the order of sums differ.
        data_root: folder in which the data lie now, if they were moved; the run keeps it.
    Returns:
        The content of summary.json at the end.
    Raises:
        UserError: `run_dir` is no run directory, its run is running, or its checkpoints are damaged.
    """
    cfg = read_config(run_dir)
    if devices is not None:
        check_devices_of_torchrun(devices)
        cfg.trainer.devices = devices
    with join(cfg, is_resumed=True) as world:
        world.check_same("run directory", run_dir.name)
        _check_same(cfg, world)
        return _resume(run_dir, world, data_root)


def _check_same(cfg: DictConfig, world: World) -> None:
    """Raise UserError if the ranks of a run have not all the same settings and code."""
    if world.size > 1:
        world.check_same("settings", identity.hashed_settings(cfg))
        world.check_same("code", identity.code_parts(cfg))


def _resume(run_dir: Path, world: World, data_root: str | None = None) -> dict[str, Any]:
    summary = read_summary(run_dir)
    if summary["status"] == "finished":
        if world.rank == 0:
            from convline.run import console  # imports torch and Lightning

            console.print_notice(f"{run_dir} is finished already; nothing was done.")
            console.print_outcome(run_dir, summary)
        return summary
    with _locked_and_stoppable(run_dir, world):
        if data_root is not None and world.rank == 0:
            keep_data_root(run_dir, data_root)
        return run_or_resume(run_dir, world, data_root)


def _newest_run(parent: Path, entry: str, value: str | None) -> str | None:
    """Return the newest run directory in a folder whose summary has this value; None if there is none."""
    found = []
    for path in parent.glob("*/config.yaml"):
        with suppress(UserError):  # a folder that is no run, or a damaged one
            found += [path] if read_summary(path.parent).get(entry) == value else []
    return str(max(found, key=lambda path: path.stat().st_mtime).parent) if found else None


def _wait_for_holder(run_dir: Path) -> None:
    """Wait until a run directory is free: a scheduler may start a run again before its dead process counts as dead."""
    if is_held(run_dir):
        print(f"{run_dir} is still running, or has died within the last minute: waiting a minute.", flush=True)
    end = time.monotonic() + STALE_SECONDS + 5
    while is_held(run_dir) and time.monotonic() < end:
        time.sleep(0.2)


@contextmanager
def _locked_and_stoppable(run_dir: Path, world: World) -> Iterator[None]:
    with stoppable(resume_command(run_dir)), locked(run_dir) if world.rank == 0 else nullcontext():
        yield


def run_or_resume(run_dir: Path, world: World | None = None, data_root: str | None = None) -> dict[str, Any]:
    """Train a run from its newest checkpoint, or from the beginning if there is none.

    Args:
        run_dir: a run directory that this process, or the one that has started it as a rank, has locked.
        world: the ranks that train it; None: this process is alone.
        data_root: folder in which the data lie now, if they were moved.
    Returns:
        The content of summary.json at the end; nothing on other ranks than the first.
    Raises:
        UserError: a setting, the data or the checkpoints are wrong, or this machine does not see the directory.
    """
    if not (run_dir / "config.yaml").is_file() and world is not None and world.rank > 0:
        raise UserError(
            f"{run_dir} is not there on {socket.gethostname()}: the machines of a run need a folder that all of them "
            "see.\n  Name one: runs_dir=FOLDER"
        )
    cfg = read_trusted_config(run_dir, data_root)
    world = world or stand_alone(cfg)
    with _faults_explained(run_dir):
        if world.size == 1 and world.num_devices > 1:
            return _run_on_ranks(run_dir, world)
        from convline.run import train

        if world.rank > 0:
            train.fit_rank(cfg, run_dir, world)
            return {}
        return train.train(cfg, run_dir, world)


@contextmanager
def _faults_explained(run_dir: Path) -> Iterator[None]:
    """Turn what the machine lacked, or a run directory that is gone, into an error for the user.

    Raises:
        UserError: the disk is full, memory ran out, or somebody removed the run directory.
    """
    report = threading.excepthook
    # a logger's thread hands its error on to the training, which explains it
    threading.excepthook = lambda failure: None if isinstance(failure.exc_value, OSError) else report(failure)
    try:
        yield
    except Exception as error:
        if is_gone(run_dir):
            raise UserError(f"{run_dir} is gone: somebody has removed it while the run wrote to it.") from error
        if isinstance(error, UserError) or not (fault := machine_fault(error)):
            raise
        begun = "started" in read_summary(run_dir)  # otherwise the directory is removed
        what = f"type: {resume_command(run_dir)}" if begun else "type the command again."
        raise UserError(f"{fault}.\n  When that is mended, {what}") from error
    finally:
        threading.excepthook = report


def is_gone(run_dir: Path) -> bool:
    """Return whether somebody has removed a run directory; what still writes may have made an empty one again."""
    return not (run_dir / "config.yaml").is_file()


def _run_on_ranks(run_dir: Path, world: World) -> dict[str, Any]:
    """Let one process a device train a run, and wait for them; return the content of summary.json."""
    from convline.run.launch import run_on_ranks  # imports torch

    try:
        run_on_ranks(run_dir, world.num_devices, world.minutes, resume_command(run_dir))
    except Interrupted as stop:
        if read_summary(run_dir)["status"] == "finished":  # only figures are missing
            raise Interrupted(stop.signum, figures_command(run_dir)) from None
        raise
    except UserError as error:
        if read_summary(run_dir)["status"] != "failed":  # the first rank itself was killed
            update_summary(run_dir, status="failed", error=first_line(error))
        raise
    return read_summary(run_dir)
