"""What a search has found: the best trial, or those that no other beats; and what mattered."""

import shlex
from collections import Counter
from typing import Any

from convline.errors import UserError
from convline.records import directory as runs
from convline.sweeps.trials import LOST, Trials


def conclude(trials: Trials) -> None:
    """Print the best trial with the words that train it again.

    Raises:
        UserError: a trial failed.
    """
    study, names = trials.study, trials.settings.objectives
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    best = sorted(study.best_trials, key=lambda trial: trial.number) if complete else []
    if len(names) > 1:
        print(f"{len(best)} of {len(complete)} trials are not beaten by another in every objective:")
    for trial in best[: None if len(names) > 1 else 1]:
        figures = ", ".join(f"{name} {value:.6g}" for name, value in zip(names, trial.values, strict=True))
        words = [dimension.word(trial.params[dimension.key]) for dimension in trials.dimensions]
        print(f"trial {trial.number + 1}: {figures}\n  python train.py {shlex.join([*trials.fixed, *words])}")
    states = Counter(trial.state.name for trial in study.get_trials(deepcopy=False) if LOST not in trial.user_attrs)
    if states["FAIL"]:
        raise UserError(f"{states['FAIL']} failed of {sum(states.values())} trials; see above")


def write_importance(trials: Trials) -> None:
    """Write importance.json, which the report draws; nothing if too little is known."""
    if importance := importances(trials.study):
        runs.write_json(trials.folder / "importance.json", importance)


def importances(study: Any) -> dict[str, float]:
    """How much of the first objective's variance each setting explains; empty if that cannot be said."""
    import optuna

    target = None if len(study.directions) == 1 else lambda trial: trial.values[0]
    try:
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0), target=target
        )
    except (ValueError, RuntimeError):  # fewer than two trials, or all the same
        return {}
    return {key: float(value) for key, value in found.items()}
