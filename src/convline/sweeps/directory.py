"""Find or create a sweep's folder: one run directory a job, and sweep.json, which lists them.

The same command finds its folder again by what its jobs compute: it continues the folder that holds most of its jobs,
and adds the jobs that are missing there. So a longer list of values extends a sweep. A changed version of the code
computes something else, and begins a new folder.
"""

import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convline.errors import UserError
from convline.formatting import first_line
from convline.records.directory import make_new_folder, read_config, read_status, write_initial_files
from convline.records.provenance import identity, is_excluded_from_hash
from convline.storage import exclusive_lock, write_json
from convline.sweeps.jobs import Job

LOCK = ".sweeps.lock"


@dataclass
class Folder:
    """A sweep on disk.

    Args:
        path: path of the folder.
        jobs: `directory`, `overrides`, `identity` and `recipe` of each job that any command added.
        created: seconds since the epoch.
    """

    path: Path
    jobs: list[dict[str, Any]] = field(default_factory=list)
    created: float = field(default_factory=time.time)

    def known(self, by: str) -> dict[str, str]:
        """Return the jobs' directories by one of their hashes, "identity" or "recipe"."""
        return {job[by]: job["directory"] for job in self.jobs}

    def count(self, jobs: Sequence[Job], by: str) -> int:
        """Count how many of these jobs the folder holds."""
        known = self.known(by)
        return sum(getattr(job, by) in known for job in jobs)

    def add(self, jobs: Sequence[Job], by: str) -> list[Path]:
        """Create the run directories of jobs that the folder does not hold; return the directories of all, in order."""
        known = self.known(by)
        taken = {*known.values(), *(path.name for path in self.path.iterdir())}
        for job in jobs:
            if getattr(job, by) in known:
                continue
            names = (job.name if count == 1 else f"{job.name}-{count}" for count in itertools.count(1))
            name = next(name for name in names if name not in taken)
            taken.add(name)
            known[getattr(job, by)] = name
            hashes = {"identity": job.identity, "recipe": job.recipe}
            self.jobs.append({"directory": name, "overrides": job.overrides, **hashes})
        content = {"command": sys.argv, "created": self.created, "jobs": self.jobs}
        # written before the directories: those that a kill leaves out are created by the next command
        write_json(self.path / "sweep.json", content)
        directories = []
        for job in jobs:
            directory = self.path / known[getattr(job, by)]
            if not (directory / "summary.json").is_file():
                (directory / "checkpoints").mkdir(parents=True, exist_ok=True)
                write_initial_files(directory, job.cfg, **job.summary_fields())
            else:
                self._check(directory, job)
            directories.append(directory)
        return directories

    def _check(self, directory: Path, job: Job) -> None:
        """Check that the config in a run directory is still the one of the job that is to be resumed.

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


def wanted_folder(cfg: DictConfig) -> tuple[Path, bool]:
    """Return the path of a new sweep by Hydra's config, and whether the user named it."""
    path = Path(cfg.hydra.sweep.dir)
    if any(word.startswith("hydra.sweep.dir=") for word in cfg.hydra.overrides.hydra):
        return path, True
    return path.with_name(path.name.removesuffix("sweep") + cfg.name.replace("/", "-")) if cfg.name else path, False


def open_folder(
    jobs: Sequence[Job], runs_dir: Path, name: str, explicit: bool, rerun: str
) -> tuple[Folder, list[Path]]:
    """Find or create the folder of these jobs, with a run directory for each.

    Args:
        jobs: jobs of one command.
        runs_dir: parent of the folders of sweeps.
        name: name of a new folder.
        explicit: the user chose this name, and no other folder may be taken.
        rerun: "all" creates a new folder; "none" also accepts jobs of other versions of the code.
    Returns:
        The folder, and the jobs' directories in order.
    Raises:
        UserError: the folder of that name holds another sweep, or cannot be created.
    """
    by = "recipe" if rerun == "none" else "identity"
    with in_turn(runs_dir):  # two processes with the same command at the same moment
        if explicit:
            folder = _named(runs_dir / name, jobs, by, rerun)
        else:
            known = [] if rerun == "all" else folders(runs_dir)
            best = max(known, key=lambda found: (found.count(jobs, by), found.created), default=None)
            has_some = best is not None and best.count(jobs, by)
            folder = best if best is not None and has_some else Folder(make_new_folder(runs_dir, name))
        return folder, folder.add(jobs, by)


@contextmanager
def in_turn(runs_dir: Path) -> Iterator[None]:
    """Let only one process at a time look for a sweep's folder and create it.

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
            content = json.loads(path.read_text())
            jobs = [
                {key: known[key] for key in ("directory", "overrides", "identity", "recipe")}
                for known in content["jobs"]
            ]
            grids.append(Folder(path.parent, jobs, content["created"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return grids


def by_another_version(runs_dir: Path, jobs: Sequence[Job]) -> tuple[int, Path | None]:
    """Return how many of these jobs another version of the code has finished, and in which folder."""
    best: tuple[int, Path | None] = (0, None)
    for folder in folders(runs_dir):
        known, own = folder.known("recipe"), folder.known("identity")
        done = [known[job.recipe] for job in jobs if job.recipe in known and job.identity not in own]
        count = sum(read_status(folder.path / directory) == "finished" for directory in done)
        best = max(best, (count, folder.path), key=lambda found: found[0])
    return best


def _named(path: Path, jobs: Sequence[Job], by: str, rerun: str) -> Folder:
    """Return the folder that the user named.

    Raises:
        UserError: it holds another sweep.
    """
    known = next((found for found in folders(path.parent) if found.path == path), None)
    if known is None:
        if (path / "sweep.json").exists():
            raise UserError(f"{path} holds a search, or a damaged sweep.json.\n  Name another folder.")
        path.mkdir(exist_ok=True)
        return Folder(path)
    if rerun == "all":
        raise UserError(f"rerun=all makes a new folder, but {path} is there. Name another one, or none.")
    if not known.count(jobs, by):
        if known.count(jobs, "recipe"):
            raise UserError(
                f"{path} was done by another version of the code.\n"
                "  Type rerun=none to take its jobs as they are, or name another folder."
            )
        raise UserError(f"{path} holds another sweep: {_difference(known, jobs[0])}.\n  Name another folder.")
    return known


def _difference(folder: Folder, job: Job) -> str:
    """Describe one setting in which the most similar job of the folder differs from this job."""
    ours = _flat(OmegaConf.to_container(job.cfg, resolve=True))
    closest: tuple[str, dict[str, Any]] | None = None
    for known in folder.jobs:
        theirs = _flat(OmegaConf.to_container(read_config(folder.path / known["directory"]), resolve=True))
        differences = {
            key: theirs.get(key) for key in ours if theirs.get(key) != ours[key] and not is_excluded_from_hash(key)
        }
        if closest is None or len(differences) < len(closest[1]):
            closest = known["directory"], differences
    if closest is None or not closest[1]:
        return "its data are others"
    key, value = next(iter(closest[1].items()))
    return f"its job {closest[0]} has {key}={value}, and this one {ours[key]}"


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict):
        return {prefix: node}
    return {
        k: v for key, value in node.items() for k, v in _flat(value, f"{prefix}.{key}" if prefix else str(key)).items()
    }
