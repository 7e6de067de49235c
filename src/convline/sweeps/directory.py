"""Find or create a sweep's folder, which holds one run directory a job and sweep.json, a list of the jobs.

Jobs are compared by a hash of their config, their data and the version of the code (`Job.identity`). A command
continues the folder that holds most of its jobs, and adds the missing ones: a longer list of values extends a sweep.
With a changed version of the code no identity is equal, and the command creates a new folder.
"""

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convline.errors import UserError
from convline.formatting import first_line, flattened, typed_command
from convline.records.directory import make_new_folder, read_config, read_status, write_initial_files
from convline.records.files import RunFileError, read_record
from convline.records.identity import identity, is_excluded_from_hash
from convline.storage import exclusive_lock, write_json
from convline.sweeps.jobs import Job

LOCK = ".sweeps.lock"


@dataclass
class Folder:
    """Hold the jobs of a sweep's folder, and add run directories to it.

    Args:
        path: path of the folder.
        jobs: `directory`, `overrides`, `identity` and `recipe` of each job that any command added.
        created: seconds since the epoch.
    """

    path: Path
    jobs: list[dict[str, Any]] = field(default_factory=list)
    created: float = field(default_factory=time.time)

    def directories(self, by: str) -> dict[str, str]:
        """Return the names of the jobs' directories by one of the jobs' hashes, "identity" or "recipe"."""
        return {job[by]: job["directory"] for job in self.jobs}

    def count(self, jobs: Sequence[Job], by: str) -> int:
        """Count the jobs that the folder already holds."""
        directories = self.directories(by)
        return sum(getattr(job, by) in directories for job in jobs)

    def add(self, jobs: Sequence[Job], by: str) -> list[Path]:
        """Create the run directories of jobs that the folder does not hold; return the directories of all, in order."""
        names_by_hash = self.directories(by)
        used_names = {*names_by_hash.values(), *(path.name for path in self.path.iterdir())}
        for job in jobs:
            if getattr(job, by) in names_by_hash:
                continue
            candidates = (job.name if count == 1 else f"{job.name}-{count}" for count in itertools.count(1))
            name = next(name for name in candidates if name not in used_names)
            used_names.add(name)
            names_by_hash[getattr(job, by)] = name
            hashes = {"identity": job.identity, "recipe": job.recipe}
            self.jobs.append({"directory": name, "overrides": job.overrides, **hashes})
        content = {"command": typed_command(), "created": self.created, "jobs": self.jobs}
        # written before the directories: those that a kill leaves out are created by the next command
        write_json(self.path / "sweep.json", content)
        directories = []
        for job in jobs:
            directory = self.path / names_by_hash[getattr(job, by)]
            if not (directory / "summary.json").is_file():
                (directory / "checkpoints").mkdir(parents=True, exist_ok=True)
                write_initial_files(directory, job.cfg, **job.summary_fields())
            else:
                self._check(directory, job)
            directories.append(directory)
        return directories

    def _check(self, directory: Path, job: Job) -> None:
        """Check that the config in a run directory was not changed since the job began.

        Raises:
            UserError: the config was changed, or the directory is damaged.
        """
        try:
            if read_status(directory) == "finished":
                return
            cfg = read_config(directory)
        except UserError as error:
            remedy = "Put its files back, or remove that directory to begin the job anew."
            raise UserError(f"a job of this sweep is damaged: {first_line(error)}\n  {remedy}") from error
        if identity(cfg, "", job.data) != job.recipe:
            raise UserError(
                f"{directory / 'config.yaml'} was changed: it no longer is the job that is to go on there.\n"
                "  Bring it back as it was, or remove that directory to begin the job anew."
            )


def new_folder_path(cfg: DictConfig) -> tuple[Path, bool]:
    """Return the path of a new sweep's folder, and whether the user set it with `hydra.sweep.dir`."""
    path = Path(cfg.hydra.sweep.dir).expanduser()
    if any(override.startswith("hydra.sweep.dir=") for override in cfg.hydra.overrides.hydra):
        return path, True
    return path.with_name(path.name.removesuffix("sweep") + cfg.name.replace("/", "-")) if cfg.name else path, False


def is_named(folder: Path, name: str | None) -> bool:
    """Return whether a sweep's folder has the name that the setting `name` asks for; without it, any has."""
    return (
        not name or re.fullmatch(rf"[\d-]+_[\d-]+_{re.escape(name.replace('/', '-'))}(-\d+)?", folder.name) is not None
    )


def open_folder(
    jobs: Sequence[Job], runs_dir: Path, name: str, explicit: bool, rerun: str, own_name: str | None = None
) -> tuple[Folder, list[Path]]:
    """Find or create the folder of these jobs, with a run directory for each.

    Args:
        jobs: jobs of one command.
        runs_dir: parent of the folders of sweeps.
        name: name of a new folder.
        explicit: the user chose this name, so that no other folder may be used.
        rerun: "all" creates a new folder; "none" also accepts jobs of other versions of the code.
        own_name: the setting `name`; a folder of another name is not continued.
    Returns:
        The folder, and the jobs' directories in order.
    Raises:
        UserError: the folder of that name holds another sweep, or cannot be created.
    """
    by = "recipe" if rerun == "none" else "identity"
    with locked_runs_dir(runs_dir):  # the same command may start twice at the same moment
        if explicit:
            folder = _open_named(runs_dir / name, jobs, by, rerun)
        else:
            known = [] if rerun == "all" else folders(runs_dir)
            candidates = [folder for folder in known if is_named(folder.path, own_name)]
            best = max(candidates, key=lambda folder: (folder.count(jobs, by), folder.created), default=None)
            has_jobs = best is not None and best.count(jobs, by)
            folder = best if best is not None and has_jobs else Folder(make_new_folder(runs_dir, name))
        return folder, folder.add(jobs, by)


@contextmanager
def locked_runs_dir(runs_dir: Path) -> Iterator[None]:
    """Lock `runs_dir`, so that only one process at a time searches for a sweep's folder and creates it.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(runs_dir / LOCK):
            yield
    except OSError as error:
        raise UserError(
            f"the sweep's folder in {runs_dir} cannot be made: {error.strerror}.\n"
            "  Name a folder that can be written: runs_dir=FOLDER"
        ) from error


def folders(runs_dir: Path) -> list[Folder]:
    """Return the folders of grids directly below `runs_dir`; skip those whose sweep.json cannot be read."""
    grids = []
    for path in sorted(runs_dir.glob("*/sweep.json")):
        try:
            content = read_record(path)
        except RunFileError:
            continue
        if "jobs" in content and "created" in content:  # else it is that of a search
            keys = ("directory", "overrides", "identity", "recipe")
            grids.append(
                Folder(path.parent, [{key: job[key] for key in keys} for job in content["jobs"]], content["created"])
            )
    return grids


def jobs_of_another_version(runs_dir: Path, jobs: Sequence[Job]) -> tuple[int, Path | None]:
    """Count the jobs that another version of the code has finished, in the folder with most of them.

    Returns:
        The number of jobs, and the folder; (0, None) if there are none.
    """
    best: tuple[int, Path | None] = (0, None)
    for folder in folders(runs_dir):
        by_recipe, by_identity = folder.directories("recipe"), folder.directories("identity")
        done = [by_recipe[job.recipe] for job in jobs if job.recipe in by_recipe and job.identity not in by_identity]
        count = sum(read_status(folder.path / directory) == "finished" for directory in done)
        best = max(best, (count, folder.path), key=lambda candidate: candidate[0])
    return best


def _open_named(path: Path, jobs: Sequence[Job], by: str, rerun: str) -> Folder:
    """Open the folder that the user named, or create it.

    Raises:
        UserError: the folder holds another sweep.
    """
    existing = next((folder for folder in folders(path.parent) if folder.path == path), None)
    if existing is None:
        if (path / "sweep.json").exists():
            raise UserError(f"{path} holds a search, or a damaged sweep.json.\n  Name another folder.")
        path.mkdir(exist_ok=True)
        return Folder(path)
    if rerun == "all":
        raise UserError(f"rerun=all makes a new folder, but {path} is there. Name another one, or none.")
    if not existing.count(jobs, by):
        if existing.count(jobs, "recipe"):
            raise UserError(
                f"{path} was done by another version of the code.\n"
                "  Type rerun=none to take its jobs as they are, or name another folder."
            )
        raise UserError(f"{path} holds another sweep: {_difference(existing, jobs[0])}.\n  Name another folder.")
    return existing


def _difference(folder: Folder, job: Job) -> str:
    """Describe one setting in which the most similar job of the folder differs from this job."""
    settings = dict(flattened(_content(job.cfg)))
    closest: tuple[str, dict[str, Any]] | None = None
    for other_job in folder.jobs:
        other_settings = dict(flattened(_content(read_config(folder.path / other_job["directory"]))))
        differences = {
            key: other_settings.get(key)
            for key in settings
            if other_settings.get(key) != settings[key] and not is_excluded_from_hash(key)
        }
        if closest is None or len(differences) < len(closest[1]):
            closest = other_job["directory"], differences
    if closest is None or not closest[1]:
        return "its data are others"
    key, value = next(iter(closest[1].items()))
    return f"its job {closest[0]} has {key}={value}, and this one {settings[key]}"


def _content(cfg: DictConfig) -> dict[str, Any]:
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    return content
