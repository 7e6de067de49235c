"""A lesson from its command to its page: train what is missing, read the runs, measure, draw, write."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from convline.config import compose as config
from convline.errors import Interrupted, UserError
from convline.lessons import page
from convline.lessons.lesson import Lesson, Study
from convline.lessons.results import Arm, Results, environment, of_runs
from convline.records import directory as runs
from convline.run.children import forwarded_signals

RESULTS = "results.json"


def perform(lesson: Lesson, folder: Path, seeds: int, words: Sequence[str] = ()) -> Results:
    """Do a lesson; what has been trained already is not trained again.

    Args:
        lesson: which.
        folder: its page, and below it the runs.
        seeds: of each configuration.
        words: further settings of every run, such as `threads=1`.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came.
        UserError: a run failed, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}.\n  Name another folder: --folder DIR") from error
    for study in lesson.studies:
        _train(lesson, study, folder, seeds, words)
    results, first_runs = read(lesson, folder, seeds, words)
    results.save(folder / RESULTS)
    page.write(lesson, results, folder, first_runs)
    return results


def _train(lesson: Lesson, study: Study, folder: Path, seeds: int, words: Sequence[str]) -> None:
    place = [f"runs_dir='{folder}'", f"hydra.sweep.dir='{folder / study.folder}'"]
    command = [*study.command(seeds), *words, *place, "rerun=none"]
    print(f"── {lesson.name}: python train.py {' '.join([*study.command(seeds), *words])}", flush=True)
    program = config.CONF_DIR.parent / "train.py"
    # a session of its own: Ctrl-C reaches this process alone, which passes it on
    process = subprocess.Popen([sys.executable, str(program), *command], start_new_session=True)
    with forwarded_signals([process]) as received:
        status = process.wait()
    if received or status in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise Interrupted((received or [status - 128])[0], f"convline {shlex.join(sys.argv[1:])}")
    if status:
        failed = [path.parent for path in (folder / study.folder).glob("*/summary.json") if _has_failed(path.parent)]
        again = f"To do what failed again, delete {', '.join(map(str, failed))}" if failed else "See above"
        raise UserError(
            f"{lesson.name}: not every run of {folder / study.folder} has finished.\n"
            f"  {again}. With other settings, a lesson needs a folder of its own: --folder DIR"
        )


def _has_failed(run_dir: Path) -> bool:
    return runs.status(run_dir) == "failed"


def read(lesson: Lesson, folder: Path, seeds: int, words: Sequence[str] = ()) -> tuple[Results, dict[str, Path]]:
    """The results of the finished runs below a lesson's folder, and the first run of each configuration."""
    arms: dict[str, Arm] = {}
    first_runs: dict[str, Path] = {}
    for study in lesson.studies:
        for label, (swept, found) in _by_label(study, folder / study.folder, seeds, words).items():
            if found:
                arms[label] = _arm(lesson, label, swept, found)
                first_runs[label] = found[0]
    made = environment(next(iter(first_runs.values()))) if first_runs else {}
    return Results(lesson.name, arms, made, tuple(words)), first_runs


def _by_label(
    study: Study, folder: Path, seeds: int, words: Sequence[str]
) -> dict[str, tuple[Mapping[str, str], list[Path]]]:
    """By label: the settings that set a configuration apart, and its finished runs in the order of their seeds."""
    from convline.sweeps.jobs import compose, plan, with_params

    command = [*study.command(seeds)[1:], *words]
    jobs = plan(compose(with_params(command, config.sweep_params(command))))
    by_recipe = {}
    for path in sorted(folder.glob("*/summary.json")) if folder.is_dir() else ():
        summary = runs.read_summary(path.parent)
        if summary.get("status") == "finished":
            by_recipe[summary.get("recipe")] = path.parent
    labels = iter(study.labels)
    found: dict[str, tuple[Mapping[str, str], list[Path]]] = {}
    names: dict[tuple[str, ...], str] = {}
    for job in jobs:
        settings = dict(word.split("=", 1) for word in job.swept if not word.startswith("seed="))
        key = tuple(f"{name}={value}" for name, value in settings.items())
        if key not in names:
            names[key] = next(labels)
            found[names[key]] = (settings, [])
        if job.recipe in by_recipe:
            found[names[key]][1].append(by_recipe[job.recipe])
    return found


def _arm(lesson: Lesson, label: str, settings: Mapping[str, str], folders: list[Path]) -> Arm:
    from convline.network.from_config import meta_network
    from convline.training.loaded_run import TrainedRun

    _, table = meta_network(runs.read_config(folders[0]))
    fields = [layer.receptive_field for layer in table.layers if layer.receptive_field and len(layer.output_shape) > 1]
    measured = [lesson.measure(TrainedRun(path)) if lesson.measure else {} for path in folders]
    return of_runs(label, settings, folders, measured, max(fields, default=None))
