"""The trials of a search on disk and in its study: asked for, gone on with, and told; by one process or by many."""

from __future__ import annotations

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

from convline.config import compose as config
from convline.errors import UserError, first_line
from convline.records import directory as runs
from convline.records.lock import alone
from convline.sweeps.jobs import describe
from convline.sweeps.search_space import Dimension

if TYPE_CHECKING:
    import optuna

BEAT = 20.0  # seconds between two signs of life in the study
STALE = 120.0  # seconds without one after which a trial on another machine counts as dead
LOST = "lost"  # attribute of a trial that nobody can go on with, or nobody wanted; it does not count


class Trials:
    """Those of one search.

    Args:
        folder: of the sweep.
        study: Optuna's.
        settings: the config's node `sweep`.
        fixed: words that all trials share.
        dimensions: what is searched.
        fingerprints: of data that are known.
    """

    def __init__(
        self,
        folder: Path,
        study: optuna.Study,
        settings: DictConfig,
        fixed: Sequence[str],
        dimensions: Sequence[Dimension],
        fingerprints: dict[str, str],
    ) -> None:
        self.folder, self.study, self.settings = folder, study, settings
        self.fixed, self.dimensions = fixed, dimensions
        self._fingerprints = fingerprints
        self.limit = settings.trials
        if "GridSampler" in settings.sampler["_target_"]:
            sizes = [len(dimension.grid()) for dimension in dimensions]
            self.limit = min(self.limit, math.prod(sizes))

    def summary(self) -> str:
        """How many trials there are to be, and how many there are."""
        states = Counter(trial.state.name.lower() for trial in self._counted())
        told = {"complete": "finished", "pruned": "pruned", "fail": "failed", "running": "begun"}
        parts = [f"{states[state]} {what}" for state, what in told.items() if states[state]]
        parts.append(f"{max(0, self.limit - sum(states.values()))} to do")
        return f"{self.limit} trial{'s' * (self.limit > 1)}: {', '.join(parts)}\nwriting to {self.folder}"

    def do(self, fail_fast: bool, quiet: bool = False) -> bool:
        """Until there are as many as wanted: what other processes have is waited for, and taken over if they die.

        Args:
            fail_fast: stop at the first that fails.
            quiet: what a trial says goes to its log alone.
        Returns:
            Whether it has stopped at one that failed.
        """
        from convline.sweeps.run_job import perform

        while True:
            todo = self._next()
            if todo is None:
                if not any(trial.state.name == "RUNNING" for trial in self._counted()):
                    return False
                time.sleep(0.5)
                continue
            number, run_dir = todo
            with self._signs_of_life(number):
                ended = perform(run_dir, f"trial {number + 1} of {self.limit}", quiet)
            if ended is None:  # another process was quicker
                time.sleep(0.2)
            elif ended == "failed" and fail_fast:
                self._tell(number, run_dir)
                return True
            else:
                self._tell(number, run_dir)

    def _counted(self) -> list[optuna.trial.FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if LOST not in trial.user_attrs]

    def _next(self) -> tuple[int, Path] | None:
        """A trial to do: one whose process died, or a new one; None if there is none just now."""
        with alone(self.folder, ".ask.lock"):
            for trial in self._counted():
                if trial.state.name == "RUNNING" and (run_dir := self._orphan(trial)):
                    return trial.number, run_dir
            while len(self._counted()) < self.limit:
                asked = self.study.ask({dimension.key: dimension.distribution for dimension in self.dimensions})
                if sum(trial.number < asked.number for trial in self._counted()) >= self.limit:
                    self._lose(asked.number)  # a process that sees another folder was quicker
                elif run_dir := self._lay_out(asked.number, asked.params):
                    return asked.number, run_dir
        return None

    def _orphan(self, trial: optuna.trial.FrozenTrial) -> Path | None:
        """The directory of a trial that nobody is at; one that has ended is told, one that is lost is failed."""
        host, directory = trial.user_attrs.get("host"), Path(trial.user_attrs.get("directory", "?"))
        if (self.folder / directory.name / "summary.json").is_file():  # as this process sees it
            directory = self.folder / directory.name
        if (directory / "summary.json").is_file():
            status = runs.status(directory)
            if status in ("finished", "failed", "pruned"):
                self._tell(trial.number, directory)
            return directory if status in ("waiting", "interrupted") else None
        alive = trial.user_attrs.get("alive", trial.datetime_start.timestamp() if trial.datetime_start else 0)
        sees_all = not self.settings.storage and host in (None, socket.gethostname())
        if not sees_all and time.time() - alive < STALE:
            return None  # in a folder that we do not see, or just asked for
        if host is None and len(trial.params) == len(self.dimensions):
            return self._lay_out(trial.number, trial.params)  # killed between asking and laying out
        self._lose(trial.number)
        return None

    def _lose(self, number: int) -> None:
        self._set(number, LOST, True)
        self._finish(number, state="FAIL")

    def _lay_out(self, number: int, params: dict[str, Any]) -> Path | None:
        """Make a trial's directory; None if its combination of values is no config, which is a failure."""
        swept = [dimension.word(params[dimension.key]) for dimension in self.dimensions]
        try:
            (composed,) = config.compose_all([[*self.fixed, *swept]])
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
        runs.lay_out(run_dir, job.cfg, **job.told(), trial=number)
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
        summary = runs.read_summary(run_dir)
        if summary["status"] == "finished":
            known = {**summary["metrics"], **{key: summary[key] for key in ("parameters", "macs", "seconds")}}
            values = [float(known[objective]) for objective in self.settings.objectives]
            self._finish(number, values)
        else:
            self._finish(number, state="PRUNED" if summary["status"] == "pruned" else "FAIL")

    def _finish(self, number: int, values: list[float] | None = None, state: str = "COMPLETE") -> None:
        """Tell the study how a trial has ended, unless another process has told it."""
        from optuna.trial import TrialState

        with _unless_told():
            self.study.tell(number, values, state=TrialState[state], skip_if_finished=True)

    def _set(self, number: int, key: str, value: Any) -> None:
        trial = self.study.get_trials(deepcopy=False)[number]
        with _unless_told():
            self.study._storage.set_trial_user_attr(trial._trial_id, key, value)

    @contextmanager
    def _signs_of_life(self, number: int) -> Iterator[None]:
        """For machines that do not see this one's disk, and so not the heartbeat in the trial's directory."""
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
    """Another process that saw the trial end may tell the study so between any two lines of ours."""
    from optuna.exceptions import UpdateFinishedTrialError

    with suppress(UpdateFinishedTrialError):
        yield


def _short(params: dict[str, Any]) -> str:
    """Such as `lr=0.0123,batch_size=64`, for a directory's name."""
    parts = [f"{key.split('.')[-1]}={f'{v:.3g}' if isinstance(v, float) else v}" for key, v in params.items()]
    return "".join(c if c.isalnum() or c in "=.,_-+" else "-" for c in ",".join(parts))[:100]
