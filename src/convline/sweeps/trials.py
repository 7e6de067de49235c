"""Keep the trials of a search on disk and in its Optuna study; any number of processes may run them.

This uses Optuna's ask and tell, not `Study.optimize`: a trial is a run directory, which outlives the process and is
resumed by another one. Optuna keeps its own heartbeat only in `Study.optimize`, so that trials need one of their own.
"""

from __future__ import annotations

import json
import math
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, open_dict

from convline.config import load_config, load_configs
from convline.config.overrides import parse_overrides
from convline.errors import UserError
from convline.formatting import first_line
from convline.records.directory import make_new_folder, read_status, read_summary, write_initial_files
from convline.storage import exclusive_lock, short_hash, write_json
from convline.sweeps import search_space as space
from convline.sweeps import study as studies
from convline.sweeps.directory import in_turn
from convline.sweeps.jobs import describe
from convline.sweeps.run_job import run_job
from convline.sweeps.search_space import Dimension

if TYPE_CHECKING:
    import optuna

BEAT = 20.0  # seconds between two heartbeats in the study
STALE = 120.0  # seconds without a heartbeat after which a trial on another machine counts as dead
POLL_SECONDS = 0.5  # between two checks of the trials that other processes run
LOST = "lost"  # attribute of a trial that cannot be resumed, or was one too many; it does not count


class Trials:
    """The trials of one search.

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
        """Return a line with the number of trials requested and of those in each state, and the folder."""
        states = Counter(trial.state.name.lower() for trial in self._counted())
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
            todo = self._next()
            if todo is None:
                if not any(trial.state.name == "RUNNING" for trial in self._counted()):
                    return False
                time.sleep(POLL_SECONDS)
                continue
            number, run_dir = todo
            with self._heartbeat(number):
                outcome = run_job(run_dir, f"trial {number + 1} of {self.limit}", quiet)
            if outcome is None:  # another process was quicker
                time.sleep(0.2)
                continue
            self._tell(number, run_dir)
            if outcome == "failed" and fail_fast:
                return True

    def _counted(self) -> list[optuna.trial.FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if LOST not in trial.user_attrs]

    def _next(self) -> tuple[int, Path] | None:
        """Return a trial to run, one whose process died or a new one; None if there is none at present."""
        with exclusive_lock(self.folder / ".ask.lock"):
            for trial in self._counted():
                if trial.state.name == "RUNNING" and (run_dir := self._take_over(trial)):
                    return trial.number, run_dir
            while len(self._counted()) < self.limit:
                asked = self.study.ask({dimension.key: dimension.distribution for dimension in self.dimensions})
                if sum(trial.number < asked.number for trial in self._counted()) >= self.limit:
                    self._lose(asked.number)  # a process in another folder, beyond this lock, was quicker
                elif run_dir := self._create_run(asked.number, asked.params):
                    return asked.number, run_dir
        return None

    def _take_over(self, trial: optuna.trial.FrozenTrial) -> Path | None:
        """Settle a trial that the study counts as running.

        Tell the study about a trial that has ended, resume one that stopped, and give up one that cannot be resumed.

        Returns:
            The run directory of a trial that this process may run; None if there is nothing to run.
        """
        if run_dir := self._find_run(trial):
            status = read_status(run_dir)
            if status in ("finished", "failed", "pruned"):
                self._tell(trial.number, run_dir)
            return run_dir if status in ("waiting", "interrupted") else None
        if self._may_be_alive(trial):
            return None
        if "host" not in trial.user_attrs and len(trial.params) == len(self.dimensions):
            return self._create_run(trial.number, trial.params)  # its process died between asking and creating the run
        self._lose(trial.number)
        return None

    def _find_run(self, trial: optuna.trial.FrozenTrial) -> Path | None:
        """Return the run directory of a trial, if this machine sees it, possibly mounted under another path."""
        recorded = Path(trial.user_attrs.get("directory", "?"))
        run_dirs = (self.folder / recorded.name, recorded)
        return next((run_dir for run_dir in run_dirs if (run_dir / "summary.json").is_file()), None)

    def _may_be_alive(self, trial: optuna.trial.FrozenTrial) -> bool:
        """Return whether a process that uses another folder may still run a trial, by the heartbeat in the study."""
        if not self.settings.storage and trial.user_attrs.get("host") in (None, socket.gethostname()):
            return False  # all processes share this folder, and the run is not in it
        begun = trial.datetime_start.timestamp() if trial.datetime_start else 0
        return time.time() - trial.user_attrs.get("alive", begun) < STALE

    def _lose(self, number: int) -> None:
        """Fail a trial so that it does not count."""
        self._set(number, LOST, True)
        self._finish(number, state="FAIL")

    def _create_run(self, number: int, params: dict[str, Any]) -> Path | None:
        """Create a trial's run directory; if its values make no valid config, fail the trial and return None."""
        swept = [dimension.override(params[dimension.key]) for dimension in self.dimensions]
        try:
            (composed,) = load_configs([[*self.fixed, *swept]])
        except UserError as error:
            print(f"── failed: trial {number + 1}: {' '.join(swept)}\n   {first_line(error)}", flush=True)
            self._set(number, "error", first_line(error))
            self._finish(number, state="FAIL")
            return None
        job = describe([*self.fixed, *swept], swept, *composed, self._fingerprints)
        if self.settings.pruner:
            self._add_pruning(job.cfg, number)
        run_dir = self.folder / f"{number:03d},{_short(params)}"
        (run_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_initial_files(run_dir, job.cfg, **job.summary_fields(), trial=number)
        self._set(number, "directory", str(run_dir.absolute()))
        self._set(number, "host", socket.gethostname())
        return run_dir

    def _add_pruning(self, cfg: DictConfig, number: int) -> None:
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
        summary = read_summary(run_dir)
        if summary["status"] == "finished":
            known = {**summary["metrics"], **{key: summary[key] for key in ("parameters", "macs", "seconds")}}
            values = [float(known[objective]) for objective in self.settings.objectives]
            self._finish(number, values)
        else:
            self._finish(number, state="PRUNED" if summary["status"] == "pruned" else "FAIL")

    def _finish(self, number: int, values: list[float] | None = None, state: str = "COMPLETE") -> None:
        """Tell the study how a trial ended, unless another process has done so."""
        from optuna.trial import TrialState

        with _unless_told():
            self.study.tell(number, values, state=TrialState[state], skip_if_finished=True)

    def _set(self, number: int, key: str, value: Any) -> None:
        with _unless_told():
            # one row by its number: get_trials() would read every unfinished trial
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
            self._storage.set_trial_user_attr(trial_id, key, value)

    @contextmanager
    def _heartbeat(self, number: int) -> Iterator[None]:
        """Write a heartbeat into the study, for machines that do not see the one in the trial's run directory."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT):
                self._set(number, "alive", time.time())

        if self.settings.storage:
            self._set(number, "alive", time.time())
            threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            ended.set()


@contextmanager
def _unless_told() -> Iterator[None]:
    """Ignore that the trial has ended: another process may see its end, and tell the study, at any moment."""
    from optuna.exceptions import UpdateFinishedTrialError

    with suppress(UpdateFinishedTrialError):
        yield


def _short(params: dict[str, Any]) -> str:
    """Return the values as a part of a directory's name, such as `lr=0.0123,batch_size=64`."""
    parts = [f"{key.split('.')[-1]}={f'{v:.3g}' if isinstance(v, float) else v}" for key, v in params.items()]
    return "".join(c if c.isalnum() or c in "=.,_-+" else "-" for c in ",".join(parts))[:100]


def open_trials(words: Sequence[str], settings: DictConfig, path: Path, explicit: bool) -> Trials:
    """Check everything that can be checked before a trial, and find or create the search's folder and study.

    Args:
        words: overrides as typed.
        settings: the config's node `sweep`.
        path: path of a new folder; an existing folder of the same search is looked for beside it.
        explicit: the user named this folder, and no other may be taken.
    Raises:
        UserError: a setting is invalid, or the folder holds another sweep.
    """
    studies.need_optuna()
    studies.check(settings)
    fixed, dimensions = space.read(words, settings.space)
    lowest = [dimension.override(dimension.extremes()[0]) for dimension in dimensions]
    ends = [
        [*lowest[:index], dimension.override(value), *lowest[index + 1 :]]
        for index, dimension in enumerate(dimensions)
        for value in dimension.extremes()[1:]
    ]
    # with the extremes checked, only a combination of values can still be invalid in a trial
    composed = load_configs([[*fixed, *chosen] for chosen in (lowest, *ends)])
    if settings.pruner and not composed[0][0].get("callbacks"):
        raise UserError("a pruner is a callback, and ~callbacks leaves none. Leave one of the two out.")
    fingerprints: dict[str, str] = {}
    identity = describe([], [], *composed[0], fingerprints).identity
    key = _key(identity, settings, dimensions)
    folder = _folder(path, explicit, key, words)
    url = settings.storage or studies.default_url(folder)
    study, storage = studies.open_study(url, f"convline-{key}", settings, dimensions)
    return Trials(folder, study, storage, settings, fixed, dimensions, fingerprints)


def reopen_trials(folder: Path) -> Trials:
    """Open the trials of a search that another process has opened in this folder."""
    words = json.loads((folder / "sweep.json").read_text())["words"]
    single = [o.input_line or "" for o in parse_overrides(words) if not o.is_sweep_override()]
    return open_trials(words, load_config(single).sweep, folder, explicit=True)


def _key(identity: str, settings: DictConfig, dimensions: Sequence[space.Dimension]) -> str:
    """Return a hash of everything that identifies a search. The number of trials is left out, so that it may grow."""
    own: Any = OmegaConf.to_container(settings, resolve=True)
    asked = {name: value for name, value in own.items() if name not in ("trials", "space")}
    ranges = [[d.key, repr(d.distribution), [text for _, text in d.texts]] for d in dimensions]
    return short_hash(json.dumps([identity, asked, ranges]))


def _folder(path: Path, explicit: bool, key: str, words: Sequence[str]) -> Path:
    """Return the folder of this search, or create one.

    Raises:
        UserError: the folder that the user named holds another sweep.
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
        folder = folder or make_new_folder(path.parent, path.name)
        write_json(folder / "sweep.json", {"search": key, "words": list(words), "command": sys.argv})
        return folder


def _is_of(path: Path, key: str) -> bool:
    try:
        return json.loads(path.read_text()).get("search") == key
    except (OSError, ValueError, AttributeError):
        return False
