"""Write the report of a sweep when it ends, print the best trials of a search, and print how to resume."""

import shlex
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convline.errors import Interrupted, UserError
from convline.formatting import first_line, train_command, typed_command
from convline.records.directory import OTHER_FOLDERS
from convline.signals import stoppable
from convline.storage import write_json
from convline.sweeps.trials import LOST, Trials


@contextmanager
def closing_report(prepare: Callable[[], str | None] | None = None) -> Iterator[Callable[[Path], None]]:
    """Write the sweep's report when the block ends, also after an exception.

    An error of the report itself is only printed if the block was left by an exception: the exit status must say
    that the sweep was interrupted, so that a scheduler or a shell script can resume it.

    Args:
        prepare: called just before the report is written; returns the metric that sorts it, or None.
    Yields:
        A function that takes the sweep's folder, to be called once it is known.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came.
    """
    folders: list[Path] = []
    with stoppable(""):
        try:
            try:
                yield folders.append
            except BaseException:
                try:
                    _write_report(folders, prepare)
                except (Interrupted, KeyboardInterrupt):
                    raise
                except Exception as error:
                    print(f"the report could not be written: {first_line(error)}", file=sys.stderr, flush=True)
                raise
            _write_report(folders, prepare)
        except (Interrupted, KeyboardInterrupt) as stop:
            # with rerun=all, the jobs that this command has finished would be run once more
            arguments = [word for word in typed_command() if not (folders and word.lstrip("+") == "rerun=all")]
            remark = getattr(stop, "remark", "")
            raise Interrupted(getattr(stop, "signum", signal.SIGINT), shlex.join(arguments), remark) from stop


def _write_report(folders: list[Path], prepare: Callable[[], str | None] | None) -> None:
    from convline.reporting import report_sweep  # 0.1 s of imports that a refused sweep does not need

    for folder in folders:
        metric = prepare() if prepare else None
        # a search may end before its first trial
        if any(folder.glob("*/config.yaml")) or (folder / OTHER_FOLDERS).is_file():
            report_sweep(folder, metric)


def print_best_trials(trials: Trials) -> None:
    """Print the best trial, or the Pareto front of several objectives, with the overrides that train it again.

    Raises:
        UserError: a trial failed.
    """
    study, objectives = trials.study, trials.settings.objectives
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    best = sorted(study.best_trials, key=lambda trial: trial.number) if complete else []
    if len(objectives) > 1:
        print(f"{len(best)} of {len(complete)} trials are not beaten by another in every objective:")
    for trial in best[: None if len(objectives) > 1 else 1]:
        values = ", ".join(f"{name} {value:.6g}" for name, value in zip(objectives, trial.values, strict=True))
        overrides = [dimension.override(trial.params[dimension.key]) for dimension in trials.dimensions]
        print(f"trial {trial.number + 1}: {values}\n  {train_command()} {shlex.join([*trials.fixed, *overrides])}")
    states = Counter(trial.state.name for trial in study.get_trials(deepcopy=False) if LOST not in trial.user_attrs)
    if states["FAIL"]:
        raise UserError(f"{states['FAIL']} failed of {sum(states.values())} trials; see above")


def prepare_report(trials: Trials) -> str | None:
    """Write what the report takes from the study: trials of other folders, and importances if known.

    Returns:
        The first objective, if it is a metric of validation: the report is sorted by it.
    """
    trials.write_other_folders()
    if importance := importances(trials.study):
        write_json(trials.folder / "importance.json", importance)
    objective = str(trials.settings.objectives[0])
    return objective if objective.startswith("val/") else None


def importances(study: Any) -> dict[str, float]:
    """Compute the fraction of the first objective's variance that each setting explains, by fANOVA.

    Returns:
        The fractions by setting; {} with too few trials, or if all have the same value.
    """
    import optuna

    target = None if len(study.directions) == 1 else lambda trial: trial.values[0]
    try:
        fractions = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0), target=target
        )
    except (ValueError, RuntimeError):  # fewer than two trials, or equal values
        return {}
    return {key: float(value) for key, value in fractions.items()}
