"""Run the trials of a search, each in its run directory, by any number of processes that share an Optuna study.

This uses Optuna's ask-and-tell interface, not `Study.optimize`: a trial has a run directory, so that another process
can resume it after its own process died. Optuna writes heartbeats only in `Study.optimize`; this module writes its own.
"""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, open_dict

from convline.config import load_config, load_configs
from convline.config.metrics import declare, entries_of
from convline.config.overrides import parse_overrides
from convline.errors import UserError
from convline.formatting import first_line, typed_command
from convline.records.directory import (
    ENDED,
    OTHER_FOLDERS,
    make_new_folder,
    read_config,
    read_environment,
    read_status,
    read_summary,
    write_initial_files,
)
from convline.records.files import RunFileError, read_record
from convline.storage import exclusive_lock, short_hash, write_json
from convline.sweeps.directory import is_named, locked_runs_dir
from convline.sweeps.jobs import build_job
from convline.sweeps.run_job import run_job
from convline.sweeps.search_space import Dimension, parse_space
from convline.sweeps.study import check_optuna, check_settings, default_url, open_study

if TYPE_CHECKING:
    import optuna

HEARTBEAT_SECONDS = 20.0  # between two heartbeats in the study
STALE_SECONDS = 120.0  # without a heartbeat, after which a trial of another machine counts as dead
POLL_SECONDS = 0.5  # between two checks of the trials that other processes run
RECORD = "run"  # attribute of a trial: what a report shows of its run, for processes that do not see its directory
STATUSES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
LOST = "lost"  # attribute of a trial that cannot be resumed, or exceeds the limit; such a trial does not count


class Trials:
    """Create, run, resume and count the trials of one search.

    Args:
        folder: folder of the search.
        study: Optuna's study.
        storage: storage of the study.
        settings: the config's node `sweep`.
        fixed: overrides that all trials share.
        dimensions: the search space.
        fingerprints: known fingerprints of data, by the settings of the data.
    """

    def __init__(
        self,
        folder: Path,
        study: optuna.Study,
        storage: optuna.storages.BaseStorage,
        settings: DictConfig,
        fixed: Sequence[str],
        dimensions: Sequence[Dimension],
        fingerprints: dict[str, str],
    ) -> None:
        self.folder, self.study, self.settings = folder, study, settings
        self.fixed, self.dimensions = fixed, dimensions
        self._fingerprints = fingerprints
        # a study sets attributes only of the trial that it has just asked for; the storage, of any trial
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self.limit = settings.trials
        if "GridSampler" in settings.sampler["_target_"]:
            sizes = [len(dimension.grid()) for dimension in dimensions]
            self.limit = min(self.limit, math.prod(sizes))

    def summary(self) -> str:
        """Return two lines for the terminal: the number of trials in each state, and the folder."""
        states = Counter(trial.state.name.lower() for trial in self._counted_trials())
        labels = {"complete": "finished", "pruned": "pruned", "fail": "failed", "running": "begun"}
        parts = [f"{states[state]} {label}" for state, label in labels.items() if states[state]]
        parts.append(f"{max(0, self.limit - sum(states.values()))} to do")
        return f"{self.limit} trial{'s' * (self.limit > 1)}: {', '.join(parts)}\nwriting to {self.folder}"

    def run(self, fail_fast: bool, quiet: bool = False) -> bool:
        """Run trials until there are as many as requested; wait for trials of other processes, and take over dead ones.

        Args:
            fail_fast: stop at the first trial that fails.
            quiet: send the output of each trial to its log only.
        Returns:
            Whether it stopped at a trial that failed.
        """
        while True:
            trial = self._next_trial()
            if trial is None:
                if not any(other.state.name == "RUNNING" for other in self._counted_trials()):
                    return False
                time.sleep(POLL_SECONDS)
                continue
            number, run_dir = trial
            with self._heartbeat(number):
                outcome = run_job(run_dir, f"trial {number + 1} of {self.limit}", quiet)
            if outcome is None:  # another process was quicker
                time.sleep(0.2)
                continue
            self._tell(number, run_dir)
            if outcome == "failed" and fail_fast:
                return True

    def _counted_trials(self) -> list[optuna.trial.FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if LOST not in trial.user_attrs]

    def _next_trial(self) -> tuple[int, Path] | None:
        """Return the next trial: one whose process died, or a new one; None if there is none at present."""
        with exclusive_lock(self.folder / ".ask.lock"):
            for trial in self._counted_trials():
                if trial.state.name == "RUNNING" and (run_dir := self._take_over(trial)):
                    return trial.number, run_dir
            while len(self._counted_trials()) < self.limit:
                asked = self.study.ask({dimension.key: dimension.distribution for dimension in self.dimensions})
                if sum(trial.number < asked.number for trial in self._counted_trials()) >= self.limit:
                    # a process that uses another folder, and so another lock, has asked for the last trial
                    self._lose(asked.number)
                elif run_dir := self._create_run(asked.number, asked.params):
                    return asked.number, run_dir
        return None

    def _take_over(self, trial: optuna.trial.FrozenTrial) -> Path | None:
        """Decide about a trial that the study counts as running.

        Record the result of a trial that has ended, resume one that stopped, and fail one that cannot be resumed.

        Returns:
            The run directory of a trial that this process may run; None if there is nothing to run.
        """
        if run_dir := self._find_run(trial):
            status = read_status(run_dir)
            if status in ENDED:
                self._tell(trial.number, run_dir)
            return run_dir if status in ("waiting", "interrupted") else None
        if self._may_be_alive(trial):
            return None
        if "host" not in trial.user_attrs:  # its process died between asking and creating the run
            return self._create_run(trial.number, self._all_params(trial))
        self._lose(trial.number)
        return None

    def _all_params(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        """Return the values of a trial; those that its process had not stored when it died are those it would have had.

        All values are drawn once more, as `Study.ask` does, because the random numbers of a sampler follow each other.
        """
        missing = [dimension for dimension in self.dimensions if dimension.key not in trial.params]
        if not missing:
            return trial.params
        study, sampler = self.study, self.study.sampler
        sampler.before_trial(study, trial)
        drawn = sampler.sample_relative(study, trial, sampler.infer_relative_search_space(study, trial))
        for dimension in self.dimensions:
            if dimension.distribution.single():
                drawn[dimension.key] = dimension.extremes()[0]
            elif dimension.key not in drawn:
                drawn[dimension.key] = sampler.sample_independent(study, trial, dimension.key, dimension.distribution)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)
        for dimension in missing:
            value = dimension.distribution.to_internal_repr(drawn[dimension.key])
            self._storage.set_trial_param(trial_id, dimension.key, value, dimension.distribution)
        return {**drawn, **trial.params}

    def _find_run(self, trial: optuna.trial.FrozenTrial) -> Path | None:
        """Return the run directory of a trial, possibly mounted under another path; None if this machine has none."""
        recorded = Path(trial.user_attrs.get("directory", "?"))
        run_dirs = (self.folder / recorded.name, recorded)
        return next((run_dir for run_dir in run_dirs if (run_dir / "summary.json").is_file()), None)

    def _may_be_alive(self, trial: optuna.trial.FrozenTrial) -> bool:
        """Return whether another machine may still run a trial, by the heartbeat in the study."""
        if not self.settings.storage and trial.user_attrs.get("host") in (None, socket.gethostname()):
            return False  # all processes share this folder, and the run is not in it
        begun = trial.datetime_start.timestamp() if trial.datetime_start else 0
        return time.time() - trial.user_attrs.get("alive", begun) < STALE_SECONDS

    def _lose(self, number: int) -> None:
        """Fail a trial so that it does not count."""
        self._set_attribute(number, LOST, True)
        self._finish(number, state="FAIL")

    def _create_run(self, number: int, params: dict[str, Any]) -> Path | None:
        """Create a trial's run directory; if its values make no valid config, fail the trial and return None."""
        swept = [dimension.override(params[dimension.key]) for dimension in self.dimensions]
        try:
            (composed,) = load_configs([[*self.fixed, *swept]])
        except UserError as error:
            print(f"── failed: trial {number + 1}: {' '.join(swept)}\n   {first_line(error)}", flush=True)
            self._set_attribute(number, "error", first_line(error))
            self._finish(number, state="FAIL")
            return None
        job = build_job([*self.fixed, *swept], swept, *composed, self._fingerprints)
        if self.settings.pruner:
            self._add_pruning(job.cfg, number)
        run_dir = self.folder / f"{number:03d},{_directory_name(params)}"
        (run_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_initial_files(run_dir, job.cfg, **job.summary_fields(), trial=number)
        self._set_attribute(number, "directory", str(run_dir.absolute()))
        self._set_attribute(number, "host", socket.gethostname())
        self._store_record(number, run_dir)
        return run_dir

    def _add_pruning(self, cfg: DictConfig, number: int) -> None:
        """Add the pruning callback to a trial's config."""
        with open_dict(cfg):
            cfg.callbacks.pruning = {
                "_target_": "convline.callbacks.optuna_pruning.Pruning",
                "metric": self.settings.objectives[0],
                "study": self.study.study_name,
                "number": number,
                "pruner": OmegaConf.to_container(self.settings.pruner, resolve=True),
                "storage": self.settings.storage,
            }

    def _tell(self, number: int, run_dir: Path) -> None:
        """Tell the study the result of the trial in a run directory."""
        self._store_record(number, run_dir)  # first: the study takes no attributes of a trial that has ended
        summary = read_summary(run_dir)
        if summary["status"] == "finished":
            objectives = {**summary, **summary["metrics"]}
            if missing := [name for name in self.settings.objectives if name not in objectives]:
                raise RunFileError(run_dir / "summary.json", f"holds no {missing[0]}, though the run is finished")
            values = [float(objectives[objective]) for objective in self.settings.objectives]
            self._finish(number, values)
        else:
            self._finish(number, state="PRUNED" if summary["status"] == "pruned" else "FAIL")

    def _store_record(self, number: int, run_dir: Path) -> None:
        """Store config and results of a run in the study, if folders may share it that do not see each other."""
        if self.settings.storage:
            environment = read_environment(run_dir)
            record = {
                "config": OmegaConf.to_container(read_config(run_dir)),
                "summary": read_summary(run_dir),
                "environment": {key: environment.get(key) for key in ("data_fingerprint", "code")},
            }
            self._set_attribute(number, RECORD, record)

    def write_other_folders(self) -> None:
        """Write what the study holds of trials in other folders to a file, which the report reads."""
        if not self.settings.storage:
            return
        trials = []
        for trial in self._counted_trials():
            directory = Path(trial.user_attrs.get("directory", ""))
            if RECORD in trial.user_attrs and not (self.folder / directory.name / "summary.json").is_file():
                record = trial.user_attrs[RECORD]
                summary = {**record["summary"], "status": STATUSES[trial.state.name]}
                host = trial.user_attrs.get("host")
                trials.append({**record, "summary": summary, "directory": str(directory), "host": host})
        write_json(self.folder / OTHER_FOLDERS, {"trials": trials})

    def _finish(self, number: int, values: list[float] | None = None, state: str = "COMPLETE") -> None:
        """Set the values or the state of a trial in the study, unless another process has done so."""
        from optuna.trial import TrialState

        with _ignore_finished():
            self.study.tell(number, values, state=TrialState[state], skip_if_finished=True)

    def _set_attribute(self, number: int, key: str, value: Any) -> None:
        """Set an attribute of a trial in the study, unless the trial has ended."""
        with _ignore_finished():
            # one row by its number: get_trials() would read every unfinished trial
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
            self._storage.set_trial_user_attr(trial_id, key, value)

    @contextmanager
    def _heartbeat(self, number: int) -> Iterator[None]:
        """Write heartbeats into the study, for machines that cannot read those in the trial's run directory."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                self._set_attribute(number, "alive", time.time())

        if self.settings.storage:
            self._set_attribute(number, "alive", time.time())
            threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            ended.set()


@contextmanager
def _ignore_finished() -> Iterator[None]:
    """Ignore Optuna's error that a trial is already finished: another process may have recorded its end first."""
    from optuna.exceptions import UpdateFinishedTrialError

    with suppress(UpdateFinishedTrialError):
        yield


def _directory_name(params: dict[str, Any]) -> str:
    """Return a directory name for these values, such as `lr=0.0123,batch_size=64`."""
    parts = [f"{key.split('.')[-1]}={f'{v:.3g}' if isinstance(v, float) else v}" for key, v in params.items()]
    return "".join(c if c.isalnum() or c in "=.,_-+" else "-" for c in ",".join(parts))[:100]


def open_trials(overrides: Sequence[str], cfg: DictConfig, path: Path, explicit: bool) -> Trials:
    """Check all settings of a search, and find or create its folder and its study.

    Args:
        overrides: overrides of the command line.
        cfg: the config that the trials share.
        path: path of a new folder; its parent is searched for an existing folder of the same search.
        explicit: the user named this folder, so that no other folder may be used.
    Raises:
        UserError: a setting is invalid, or the folder holds another sweep.
    """
    check_optuna()
    settings = cfg.sweep
    check_settings(settings, declare(entries_of(cfg)))
    fixed, dimensions = parse_space(overrides, settings.space)
    lowest = [dimension.override(dimension.extremes()[0]) for dimension in dimensions]
    extremes = [
        [*lowest[:index], dimension.override(value), *lowest[index + 1 :]]
        for index, dimension in enumerate(dimensions)
        for value in dimension.extremes()[1:]
    ]
    # with the extremes checked, only a combination of values can still be invalid in a trial
    composed = load_configs([[*fixed, *chosen] for chosen in (lowest, *extremes)])
    if settings.pruner and not composed[0][0].get("callbacks"):
        raise UserError("a pruner is a callback, and ~callbacks leaves none. Leave one of the two out.")
    fingerprints: dict[str, str] = {}
    identity = build_job([], [], *composed[0], fingerprints).identity
    key = _key(identity, settings, dimensions)
    folder = _open_folder(path, explicit, key, overrides, cfg.name)
    url = settings.storage or default_url(folder)
    study, storage = open_study(url, f"convline-{key}", settings, dimensions)
    return Trials(folder, study, storage, settings, fixed, dimensions, fingerprints)


def reopen_trials(folder: Path) -> Trials:
    """Open the trials of a search that another process has opened in this folder."""
    overrides = read_record(folder / "sweep.json")["words"]
    single = [o.input_line or "" for o in parse_overrides(overrides) if not o.is_sweep_override()]
    return open_trials(overrides, load_config(single), folder, explicit=True)


def _key(identity: str, settings: DictConfig, dimensions: Sequence[Dimension]) -> str:
    """Return a hash of everything that identifies a search. The number of trials is left out, so that it may grow."""
    values: Any = OmegaConf.to_container(settings, resolve=True)
    identity_settings = {name: value for name, value in values.items() if name not in ("trials", "space")}
    ranges = [[d.key, repr(d.distribution), [text for _, text in d.texts]] for d in dimensions]
    return short_hash(json.dumps([identity, identity_settings, ranges]))


def _open_folder(path: Path, explicit: bool, key: str, overrides: Sequence[str], name: str | None) -> Path:
    """Find or create the folder of this search, and write sweep.json.

    Raises:
        UserError: the folder that the user named holds another sweep.
    """
    with locked_runs_dir(path.parent):
        folder: Path | None = path
        if not explicit:
            files = path.parent.glob("*/sweep.json")
            known = (file.parent for file in files if _is_of_search(file, key))
            folder = next((folder for folder in known if is_named(folder, name)), None)
        elif (path / "sweep.json").exists() and not _is_of_search(path / "sweep.json", key):
            raise UserError(
                f"{path} holds another sweep, or this one by another version of the code.\n  Name another folder."
            )
        else:
            path.mkdir(exist_ok=True)
        folder = folder or make_new_folder(path.parent, path.name)
        write_json(folder / "sweep.json", {"search": key, "words": list(overrides), "command": typed_command()})
        return folder


def _is_of_search(path: Path, key: str) -> bool:
    try:
        return read_record(path).get("search") == key
    except RunFileError:
        return False
